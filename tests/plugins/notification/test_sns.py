"""Messages of SNS: signed by it, for a topic of ours, or refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dservercore.catalog import job_runs
from dservercore.plugins.notification import sns
from support.world import RED
from support.worlds import World, world

from .bodies import UUID, aws, of_aws
from .conftest import SETTINGS, Inbox
from .sns_service import AWS, CERTIFICATE, TOPIC, Service, Signer, notification, running, subscription

pytestmark = pytest.mark.attack

MESSAGE = of_aws(aws())
URI = f"{RED}/{UUID}"
OUTSIDE = "198.51.100.7"
EVIL = "https://evil.example"


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(Service()) as service:
        yield service


@pytest.fixture(scope="module")
def of_topic(
    tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path], service: Service
) -> Iterator[World]:
    settings = {
        **SETTINGS,
        "DSERVER_NOTIFY_SNS_TOPICS": TOPIC,
        "DSERVER_NOTIFY_SNS_ENDPOINT": service.address,
    }
    with world(tmp_path_factory.mktemp("sns"), key_pair, **settings) as standing:
        yield standing


@pytest.fixture
def topic(of_topic: World, service: Service, signer: Signer) -> Iterator[Inbox]:
    """A server that knows a topic, but no certificate yet, and lets nobody in from outside."""
    of_topic.app.extensions.pop(sns.CERTIFICATES, None)
    service.asked.clear()
    service.answer = lambda _path: (200, {}, signer.pem)
    yield Inbox(of_topic)
    Inbox(of_topic).empty()


def send(topic: Inbox, envelope: Any, **options: Any) -> Any:
    """Send a message as SNS does, from the internet."""
    headers = {"x-amz-sns-message-type": str(envelope.get("Type")), "x-amz-sns-topic-arn": TOPIC}
    return topic.post(
        data=json.dumps(envelope),
        content_type="text/plain; charset=UTF-8",
        headers=headers,
        address=OUTSIDE,
        **options,
    )


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", ["Amazon S3 Notification", None])
def test_what_is_signed_is_taken_from_anywhere(
    topic: Inbox, signer: Signer, service: Service, version: str, subject: str | None
) -> None:
    envelope = notification(MESSAGE, SignatureVersion=version)
    if subject is None:
        del envelope["Subject"]
    for _ in range(3):
        answer = send(topic, signer.sign(envelope))
        assert (answer.status_code, answer.json) == (200, None), answer.text
    assert [(one["uri"], one["events"]) for one in topic.datasets()] == [(URI, 3)]
    assert service.asked == [CERTIFICATE]  # once


def test_a_message_that_is_no_event_is_answered(topic: Inbox, signer: Signer) -> None:
    for message in ("hello", "", json.dumps({"Event": "s3:TestEvent"})):
        envelope = notification(message or " ")
        assert send(topic, signer.sign(envelope)).status_code == 200
    assert topic.jobs() == []


def forged(signer: Signer) -> Iterator[dict[str, Any]]:
    good = signer.sign(notification(MESSAGE))
    yield {**good, "Message": json.dumps(of_aws(aws(name="ObjectRemoved:Delete")))}
    for name in ("MessageId", "Timestamp", "Subject"):
        yield {**good, name: "x"}
        yield {name_: value for name_, value in good.items() if name_ != name}
    yield {**good, "SignatureVersion": "2"}
    yield {**good, "SignatureVersion": "3"}
    yield {**good, "SignatureVersion": ["1"]}
    yield {**good, "Type": "SubscriptionConfirmation"}
    for signature in ("", "x", "////", "AAAA" * 86, None, [good["Signature"]], f"{good['Signature']}\n"):
        yield {**good, "Signature": signature}
    yield Signer().sign(notification(MESSAGE))
    yield {name: value for name, value in good.items() if name != "Signature"}
    others = signer.sign(notification(MESSAGE, TopicArn=f"{TOPIC}2"))
    yield others
    yield {**others, "TopicArn": TOPIC}
    yield signer.sign(notification(MESSAGE, TopicArn="arn:aws:sns:us-east-1:123456789012:datasets"))
    yield signer.sign(notification(MESSAGE, TopicArn=TOPIC.upper()))
    for address in (
        f"{EVIL}{CERTIFICATE}",
        f"{AWS}.evil.example{CERTIFICATE}",
        f"{AWS}@evil.example{CERTIFICATE}",
        f"{AWS}:8443{CERTIFICATE}",
        f"{AWS}\\@evil.example{CERTIFICATE}",
        f"{AWS}/../x{CERTIFICATE}",
        f"{AWS}/bucket/x.pem",
        f"{AWS}{CERTIFICATE}?x",
        f"{AWS}{CERTIFICATE}#x",
        f"{AWS}{CERTIFICATE}\n",
        AWS.replace("https", "http") + CERTIFICATE,
        f"https://s3.amazonaws.com{CERTIFICATE}",
        f"https://sns-eu-west-1.s3.amazonaws.com{CERTIFICATE}",
        f"https://sns.us-east-1.amazonaws.com{CERTIFICATE}",
        f"https://evil.example/?{AWS}{CERTIFICATE}",
        "file:///etc/passwd",
        "",
        None,
        7,
    ):
        yield signer.sign(notification(MESSAGE, SigningCertURL=address))


def test_what_is_forged_is_refused(topic: Inbox, signer: Signer, service: Service) -> None:
    for envelope in forged(signer):
        answer = send(topic, envelope)
        assert answer.status_code in (400, 403), (envelope, answer.text)
        assert answer.json["message"]
    assert topic.jobs() == []
    assert set(service.asked) <= {CERTIFICATE}


def test_from_outside_nothing_else_than_what_is_signed_is_taken(topic: Inbox, signer: Signer) -> None:
    assert topic.post(json=MESSAGE, address=OUTSIDE).status_code == 403
    assert topic.post(data={"Message": json.dumps(MESSAGE)}, address=OUTSIDE).status_code == 403
    assert topic.post(json=signer.sign(notification(MESSAGE)), address=OUTSIDE).status_code == 200
    assert topic.take(MESSAGE) == [URI]
    unsigned = topic.post(json=notification(MESSAGE))
    assert unsigned.status_code == 400


def test_without_a_topic_no_message_of_sns_is_taken(notified: Inbox, signer: Signer) -> None:
    assert send(notified, signer.sign(notification(MESSAGE))).status_code == 403
    assert notified.post(json=signer.sign(notification(MESSAGE))).status_code == 403
    assert notified.jobs() == []


@pytest.mark.parametrize(
    ("status", "certificate"),
    [
        (403, lambda: (200, {}, b"no certificate")),
        (403, lambda: (200, {}, b"")),
        (403, lambda: (200, {}, Signer(days=-1).pem)),
        (503, lambda: (404, {}, b"")),
        (503, lambda: (302, {"Location": CERTIFICATE}, b"")),
        (503, lambda: (200, {}, b"x" * 2**17)),
    ],
)
def test_a_certificate_that_is_none_is_refused_and_asked_for_again(
    topic: Inbox, signer: Signer, service: Service, status: int, certificate: Any
) -> None:
    answer = certificate()
    service.answer = lambda _path: answer
    assert send(topic, signer.sign(notification(MESSAGE))).status_code == status
    assert service.asked == [CERTIFICATE]
    service.answer = lambda _path: (200, {}, signer.pem)
    assert send(topic, signer.sign(notification(MESSAGE))).status_code == 200


def test_a_service_that_is_away_or_slow_costs_no_more_than_its_time(
    topic: Inbox, signer: Signer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sns, "SECONDS", 0.5)
    monkeypatch.setattr(sns, "WAIT_SECONDS", 0.1)
    ends = threading.Event()

    def slow(_path: str) -> Any:
        ends.wait(20)
        return 200, {}, b""

    service.answer = slow
    assert send(topic, signer.sign(notification(MESSAGE))).status_code == 503
    ends.set()


def test_certificates_that_are_made_up_are_not_fetched_without_end(
    topic: Inbox, signer: Signer, service: Service
) -> None:
    assert send(topic, signer.sign(notification(MESSAGE))).status_code == 200
    service.answer = lambda _path: (404, {}, b"")
    statuses = set()
    for number in range(sns.MAX_FETCHES + 20):
        address = f"{AWS}/SimpleNotificationService-{number:032x}.pem"
        statuses.add(send(topic, signer.sign(notification(MESSAGE, SigningCertURL=address))).status_code)
    assert statuses == {503}
    assert len(service.asked) == sns.MAX_FETCHES
    assert send(topic, signer.sign(notification(MESSAGE))).status_code == 200  # its certificate is known


def work(topic: Inbox) -> int:
    with topic.app.app_context():
        return job_runs.work(threading.Event(), once=True)


def test_a_subscription_of_our_topic_is_confirmed(topic: Inbox, signer: Signer, service: Service) -> None:
    for _ in range(3):
        assert send(topic, signer.sign(subscription())).status_code == 200
    assert work(topic) == 1
    assert service.asked[1:] == [
        f"/?Action=ConfirmSubscription&TopicArn={TOPIC.replace(':', '%3A')}&Token=2336412f37f"
    ]
    ended = subscription(Type="UnsubscribeConfirmation")
    assert send(topic, signer.sign(ended)).status_code == 200
    assert work(topic) == 0


def test_no_other_address_is_ever_asked_for(topic: Inbox, signer: Signer, service: Service) -> None:
    for address in (
        f"{EVIL}/?Action=ConfirmSubscription&TopicArn={TOPIC}",
        f"{AWS}@evil.example/?Action=ConfirmSubscription&TopicArn={TOPIC}",
        f"{AWS}/?Action=DeleteTopic&TopicArn={TOPIC}",
        f"{AWS}/?Action=ConfirmSubscription&TopicArn={TOPIC}2",
        f"{AWS}/?Action=ConfirmSubscription&Action=DeleteTopic&TopicArn={TOPIC}",
        f"{AWS}/",
        f"{AWS}/?Action=ConfirmSubscription&TopicArn={TOPIC}\r\nX: y",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
    ):
        answer = send(topic, signer.sign(subscription(SubscribeURL=address)))
        assert answer.status_code == 403, address
    unsigned = {**subscription(), "Signature": "AAAA"}
    assert send(topic, unsigned).status_code == 403
    assert (work(topic), set(service.asked)) == (0, {CERTIFICATE})


def test_the_service_is_known_by_its_certificate(
    topic: Inbox, signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS, whose certificate is that of an authority that this machine trusts."""
    authority = Signer()
    encrypted = Service()
    encrypted.encrypt(Signer(issuer=authority), tmp_path)
    encrypted.answer = lambda _path: (200, {}, signer.pem)
    monkeypatch.setitem(topic.app.config, "DSERVER_NOTIFY_SNS_ENDPOINT", encrypted.address)
    with running(encrypted):
        assert send(topic, signer.sign(notification(MESSAGE))).status_code == 503
        assert encrypted.asked == []
        (tmp_path / "authority.pem").write_bytes(authority.pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert send(topic, signer.sign(notification(MESSAGE))).status_code == 200
        assert encrypted.asked == [CERTIFICATE]


def test_by_default_it_is_the_service_of_amazon_in_the_region_of_the_topic(topic: Inbox) -> None:
    addresses = {
        "arn:aws:sns:eu-west-1:123456789012:x": "https://sns.eu-west-1.amazonaws.com",
        "arn:aws-cn:sns:cn-north-1:123456789012:x": "https://sns.cn-north-1.amazonaws.com.cn",
        "arn:aws-us-gov:sns:us-gov-west-1:123456789012:x": "https://sns.us-gov-west-1.amazonaws.com",
    }
    assert {arn: sns._aws_of(arn) for arn in addresses} == addresses
