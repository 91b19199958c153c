"""What `deploy/` holds is what `deploy render` makes, what KubeRay, Kubernetes and Ray's launcher take, and what holds no secret."""

import copy
from pathlib import Path

import pytest
from manifests import built, documents, problems
from partsong_cluster.deploy import load_deploy
from partsong_cluster.deploy.kuberay import kuberay_files
from partsong_cluster.deploy.launcher import launcher_files
from partsong_cluster.deploy.load import load_deploy_text

from partsong.errors import MeshError

DEPLOY = Path(__file__).parents[3] / "deploy"
KUBERAY = kuberay_files(load_deploy(DEPLOY / "kubernetes.yaml"))
BASE = built(KUBERAY, "base")
OVERLAYS = ("base", "overlays/small", "overlays/large", "overlays/gpu")
SMALLEST = "version: 1\nname: support\nautoscaling: {node_types: {a: {resources: {cpu: 1, memory: 1GiB}}}}\nkubernetes: {image: 'i:1'}\n"
OPEN = SMALLEST + "security: {auth: off, tls: on}\n"
TWO_KINDS = "version: 1\nname: a\nlauncher: {head: h, workers: [w]}\n"
TWO_KINDS += "autoscaling: {node_types: {a: {resources: {cpu: 1}}, b: {resources: {cpu: 2}}}}\n"


def cluster(objects=BASE):
    return next(o for o in objects if o["kind"] == "RayCluster")


def pods(objects):
    spec = cluster(objects)["spec"]
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


@pytest.mark.parametrize(("folder", "files"), [("kuberay", KUBERAY), (".", launcher_files(load_deploy(DEPLOY / "onprem.yaml")))])
def test_the_files_to_copy_are_what_render_makes_of_the_deploy_file(folder, files):
    assert {name: (DEPLOY / folder / name).read_text() for name in files} == files


def test_no_other_manifest_lies_among_them():
    assert {str(path.relative_to(DEPLOY / "kuberay")) for path in (DEPLOY / "kuberay").rglob("*.yaml")} == set(KUBERAY)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_of_every_overlay_is_valid(overlay):
    objects = built(KUBERAY, overlay)
    assert {o["kind"] for o in objects} == {"ServiceAccount", "RayCluster", "NetworkPolicy", "PodDisruptionBudget"}
    assert [problem for o in objects for problem in problems(o)] == []


def test_the_job_that_applies_the_deploy_file_is_valid():
    (job,) = documents(KUBERAY["rayjob-apply.yaml"])
    assert problems(job) == []
    assert "partsong deploy apply" in job["spec"]["entrypoint"]


@pytest.mark.parametrize(
    ("kind", "path", "field"),
    [
        ("RayCluster", ("spec", "workerGroupSpecs", 0), "maxReplica"),
        ("RayCluster", ("spec", "headGroupSpec", "template", "spec", "containers", 0, "securityContext"), "readonlyRootFilesystem"),
        ("NetworkPolicy", ("spec",), "podSelectors"),
        ("PodDisruptionBudget", ("spec",), "minAvailables"),
        ("ServiceAccount", (), "automountToken"),
    ],
)
def test_the_schemas_refuse_a_misspelt_field(kind, path, field):
    wrong = copy.deepcopy(next(o for o in BASE if o["kind"] == kind))
    spot = wrong
    for part in path:
        spot = spot[part]
    spot[field] = 1
    assert any(field in problem for problem in problems(wrong))


@pytest.mark.parametrize(
    "text", [SMALLEST, SMALLEST + "security: {auth: off, tls: on}\n", SMALLEST.replace("'i:1'", "'i:1', gcs_storage: rocksdb")]
)
def test_other_deploy_files_render_valid_objects_too(text):
    files = kuberay_files(load_deploy_text(text))
    assert [p for overlay in OVERLAYS for o in built(files, overlay) for p in problems(o)] == []


def test_secrets_are_there_by_reference_alone():
    text = "".join(KUBERAY.values())
    assert [o["kind"] for o in BASE if o["kind"] in ("Secret", "ConfigMap")] == []
    assert cluster()["spec"]["authOptions"] == {"mode": "token", "secretName": "partsong-auth"}
    assert "stringData" not in text
    assert "auth_token=" not in text


def test_every_pod_runs_without_root_on_an_image_that_it_cannot_write():
    submitter = documents(KUBERAY["rayjob-apply.yaml"])[0]["spec"]["submitterPodTemplate"]["spec"]
    for pod in [*pods(built(KUBERAY, "overlays/gpu")), submitter]:
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        for container in pod["containers"]:
            own = container["securityContext"]
            assert (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"], own["capabilities"]) == (True, False, {"drop": ["ALL"]})
            assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


def test_workers_leave_in_order_before_kubernetes_ends_their_pod():
    for pod in pods(BASE)[1:]:
        command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert command[:3] == ["python", "-m", "partsong_cluster.deploy.leave"]
        assert float(command[-1]) < pod["terminationGracePeriodSeconds"]


def test_only_the_head_may_ask_kubernetes_for_anything():
    head, *workers = pods(BASE)
    assert "automountServiceAccountToken" not in head
    assert all(pod["automountServiceAccountToken"] is False for pod in workers)


def test_networks_are_shut_but_for_what_is_needed():
    found = {o["metadata"]["name"]: o["spec"] for o in BASE if o["kind"] == "NetworkPolicy"}
    shut = found["partsong-shut"]
    assert (shut["policyTypes"], "ingress" in shut, "egress" in shut) == (["Ingress", "Egress"], False, False)
    assert found["partsong-clients"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8265}]
    assert found["partsong-outside"]["egress"][0]["to"] == [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}]


def test_the_head_holds_no_work_and_its_state_outlives_it():
    spec = cluster()["spec"]
    assert spec["headGroupSpec"]["resources"]["CPU"] == "0"
    assert spec["gcsFaultToleranceOptions"]["redisPassword"] == {
        "valueFrom": {"secretKeyRef": {"name": "partsong-redis", "key": "password"}}
    }


def test_overlays_change_how_many_machines_there_are_and_of_which_kind():
    assert [g["maxReplicas"] for g in cluster(built(KUBERAY, "overlays/small"))["spec"]["workerGroupSpecs"]] == [2, 2]
    assert [g["maxReplicas"] for g in cluster(built(KUBERAY, "overlays/large"))["spec"]["workerGroupSpecs"]] == [40, 80]
    gpu = cluster(built(KUBERAY, "overlays/gpu"))["spec"]["workerGroupSpecs"][-1]
    assert gpu["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert gpu["labels"] == {"accelerator": "gpu"}


def launcher(text=None):
    loaded = load_deploy(DEPLOY / "onprem.yaml") if text is None else load_deploy_text(text)
    return documents(launcher_files(loaded)["cluster.yaml"])[0]


def test_rays_launcher_takes_its_file():
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(launcher())
    validate_config(prepared)
    assert prepared["available_node_types"]["local.cluster.node"]["max_workers"] == 2
    wrong = launcher() | {"max_worker": 3}
    with pytest.raises(Exception, match="max_worker"):
        validate_config(wrong)


def test_ray_start_knows_every_option_that_is_given_to_it():
    from ray.scripts.scripts import start

    known = {word for parameter in start.params for word in parameter.opts}
    for command in (launcher()["head_start_ray_commands"][1], launcher()["worker_start_ray_commands"][1]):
        words = command.partition(" start ")[2].split(" --")
        given = {"--" + word.removeprefix("--").split("=")[0].split(" ")[0] for word in words}
        assert given <= known


def test_ray_listens_on_the_private_address_and_asks_for_a_token():
    head = launcher()["head_start_ray_commands"][1]
    assert "--node-ip-address=10.0.0.10" in head
    assert "--dashboard-host=10.0.0.10" in head
    for command in (head, launcher()["worker_start_ray_commands"][1]):
        assert "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=/etc/partsong/auth_token" in command


def test_machines_run_no_python_code_of_meshes_where_the_deploy_file_says_so():
    off = {"name": "PARTSONG_PYTHON_ADAPTER", "value": "off"}
    for pod in pods(built(KUBERAY, "overlays/gpu")):
        assert off in pod["containers"][0]["env"]
    for command in (launcher()["head_start_ray_commands"][1], launcher()["worker_start_ray_commands"][1]):
        assert "PARTSONG_PYTHON_ADAPTER=off" in command
    on = (DEPLOY / "onprem.yaml").read_text().replace("python_adapter: off", "python_adapter: on")
    assert "PARTSONG_PYTHON_ADAPTER" not in launcher(on)["head_start_ray_commands"][1]


def test_tls_is_turned_on_for_all_hosts():
    text = (DEPLOY / "onprem.yaml").read_text().replace("auth: token", "auth: token\n  tls: on")
    for command in (launcher(text)["head_start_ray_commands"][1], launcher(text)["worker_start_ray_commands"][1]):
        assert "RAY_USE_TLS=1 RAY_TLS_SERVER_CERT=/etc/partsong/tls/tls.crt" in command


@pytest.mark.parametrize(
    ("text", "render", "code"),
    [
        ("version: 1\nname: a\n", kuberay_files, "nothing-to-render"),
        ("version: 1\nname: a\nkubernetes: {image: i}\n", kuberay_files, "nothing-to-render"),
        ("version: 1\nname: a\n", launcher_files, "nothing-to-render"),
        (TWO_KINDS, launcher_files, "several-node-types"),
    ],
)
def test_what_cannot_be_rendered_says_what_is_missing(text, render, code):
    with pytest.raises(MeshError) as caught:
        render(load_deploy_text(text))
    assert caught.value.code == code
    assert caught.value.problems[0].at is not None
