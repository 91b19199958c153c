"""Large parts of calls travel by themselves: put once, put back together at the worker, and given anew when they are lost."""

from partsong_actors.bulk import LARGE_BYTES, Lender, whole
from partsong_actors.link import Link, Mailbox
from partsong_actors.worker import CALLS, REPLIES

from partsong.contracts import Call, Completion, Message, Task, TextPart, Timing
from partsong.contracts.task import AudioPart, FilePart, ImagePart

LARGE = bytes(range(256)) * 1100


class Objects:
    """Stands for Ray's object store."""

    def __init__(self) -> None:
        self.puts = []

    def put(self, data: bytes):
        self.puts.append(data)
        return _Reference(data)


class _Reference:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def __await__(self):
        return self.data
        yield


def call(*parts) -> Call:
    return Call(model="mini", task=Task(id="1", messages=(Message(role="user", parts=parts),)), step="mini", timeout_s=5.0)


async def test_what_came_apart_is_whole_again():
    asked = call(ImagePart(data=LARGE), TextPart(text="what is it?"), AudioPart(data=LARGE[1:]), FilePart(name="f", data=LARGE[2:]))
    light, slots = Lender(Objects().put).apart(asked)
    assert len(CALLS.pack([light])) < 1000
    assert await whole(CALLS.unpack(CALLS.pack([light]))[0], slots) == asked


def test_small_parts_and_addresses_stay_within_the_message():
    asked = call(TextPart(text="x" * 2 * LARGE_BYTES), ImagePart(data=LARGE[:LARGE_BYTES]), ImagePart(url="http://127.0.0.1/i.png"))
    objects = Objects()
    assert Lender(objects.put).apart(asked) == (asked, [])
    assert objects.puts == []


def test_the_same_bytes_are_put_once_whoever_asks_for_them():
    objects = Objects()
    lender = Lender(objects.put)
    for asked in (call(ImagePart(data=LARGE)), call(TextPart(text="again"), ImagePart(data=bytes(bytearray(LARGE))))):
        lender.apart(asked)
    assert len(objects.puts) == 1


def test_what_may_be_lost_is_put_anew():
    objects = Objects()
    lender = Lender(objects.put)
    for _ in range(2):
        lender.apart(call(ImagePart(data=LARGE)))
        lender.forget(call(ImagePart(data=LARGE)))
    assert len(objects.puts) == 2


def test_what_was_not_used_for_longest_is_not_kept():
    objects = Objects()
    lender = Lender(objects.put, kept_bytes=2 * len(LARGE) + 2)
    first, second, third = (bytes([number]) + LARGE for number in range(3))
    for data in (first, second, first, third, second):
        lender.apart(call(ImagePart(data=data)))
    assert objects.puts == [first, second, third, second]


async def test_a_link_carries_them_beside_its_envelope():
    sizes = []

    async def ask(call: Call) -> Completion:
        raise AssertionError("something travelled beside it")

    async def ask_with(call: Call, slots) -> Completion:
        return Completion(
            model="mini", text=str((await whole(call, slots)).task.messages[0].parts[0].data == LARGE), timing=Timing(total_s=0.0)
        )

    class Actor:
        mailbox = Mailbox(ask, CALLS, REPLIES, ask_with)

        async def exchange(self, caller, envelope, bulk=()):
            sizes.append(len(envelope))
            return await self.mailbox.exchange(caller, envelope, bulk)

    link = Link(Actor(), CALLS, REPLIES, apart=Lender(Objects().put).apart)
    assert (await link.request(call(ImagePart(data=LARGE)))).text == "True"
    assert max(sizes) < 1000
