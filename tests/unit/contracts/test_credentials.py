"""A credential within a URL is recognised however it is written, and ordinary URLs are left alone."""

import pytest

from partsong.contracts.credentials import credential_in


@pytest.mark.parametrize(
    "url",
    [
        "s3://KEY:hidden@bucket/in.jsonl",
        "s3://KEY:hid/den@bucket/in.jsonl",
        "https://user:hidden@host/in.jsonl",
        "https://hidden@host/in.jsonl",
        "sftp://user:hidden@host:22/in.jsonl",
        "zip://*.csv::s3://KEY:hidden@bucket/in.zip",
        "postgresql://user:hidden@one:5432,two:5433/db",
        "postgresql://user@db/p?password=hidden",
        "https://b.s3.amazonaws.com/in.jsonl?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=hidden",
        "https://b.s3.amazonaws.com/in.jsonl?AWSAccessKeyId=hidden&Expires=1",
        "https://storage.googleapis.com/b/in.jsonl?X-Goog-Credential=hidden",
        "https://a.blob.core.windows.net/c/in.jsonl?sv=2024-11-04&sr=b&sig=hidden",
        "https://host/in.jsonl?page=2&access_token=hidden",
        "https://host/in.jsonl?apiKey=hidden",
        "https://host/in.jsonl?key=hidden",
        "https://host/in.jsonl?client%5Fsecret=hidden",
    ],
)
def test_a_credential_is_recognised_and_not_repeated(url: str):
    assert credential_in(url)
    assert "hidden" not in credential_in(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/in/*.jsonl",
        "https://host:8443/in.jsonl?version=3&page=2&sort=design&tokenizer=bpe&max_tokens=9",
        "https://host/a:b@c.jsonl?X-Amz-Algorithm=AWS4-HMAC-SHA256&Expires=300",
        "http://[::1]:9000/in.jsonl",
        "http://[64:ff9b::a9fe:a9fe]/in.jsonl",
        "sftp://user@host:22/in.jsonl",
        "abfs://container@account.dfs.core.windows.net/in.jsonl",
        "gzip::s3://bucket/in.jsonl.gz",
        "zip://*.csv::https://host/in.zip?raw=1",
        "postgresql://partsong@one:5432,two:5433/db?sslmode=require&password_env=STORE_PASSWORD",
        "sqlite:////var/lib/partsong/journal.db",
        "file:///data/in.jsonl",
        "https://host/in.jsonl?token=",
        "data/a:b@c?key=1.jsonl",
        "https://[bad/in.jsonl",
        "-",
    ],
)
def test_ordinary_addresses_are_left_alone(url: str):
    assert credential_in(url) == ""
