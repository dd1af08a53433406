"""The only way to AWS: sessions, calls that end, every page, and AWS' errors in our words.

Law: nothing is called in another account or Region than the one that was named or planned, also
after credentials that AWS knows no more were read anew. A call that changes something and got no
answer may have happened: Indeterminate.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import cache
from threading import Lock
from typing import Any

import msgspec

from chaosrun import commands
from chaosrun.errors import ChaosrunError, Indeterminate, Refused, Transient
from chaosrun.providers.aws.access import Access

_CONNECT, _ANSWER, _ATTEMPTS = 3.0, 10.0, 4
_WAIT, _FIRST_LOOK, _LOOK_AGAIN = 600.0, 0.05, 3.0
_READS = ("describe_", "get_", "list_")
_THROTTLED = ("Throttl", "RequestLimitExceeded", "TooManyRequests", "SlowDown", "PriorRequestNot")
_STALE = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "AuthFailure",
          "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException")  # fmt: skip
_DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")
_BUSY = ("DependencyViolation", "ResourceInUse", "ResourceConflict", "ScalingActivityInProgress",
         "ResourceContention", "IncorrectInstanceState", "InvalidDBClusterState",
         "InvalidDBInstanceState", "PreconditionFailed")  # fmt: skip
_CREDENTIALS = "give a profile or a role, or set AWS_PROFILE"


class NotFound(Refused):
    """What was named does not exist there."""


class Denied(Refused):
    """AWS does not allow it to whoever acts."""


class Aws:
    """Calls any service with any access, from any number of threads; reads nothing until then.

    Each of `observers` is told every call before it is sent, as service and operation in the
    vendor's words: `ec2`, `StopInstances`.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._sessions: dict[Access, Any] = {}
        # By their session, so that what is known of old credentials is not taken for new ones.
        self._clients: dict[tuple[Any, str], Any] = {}
        self._accounts: dict[Any, str] = {}
        self.observers: list[Callable[[str, str], None]] = []

    def close(self) -> None:
        """Close every connection that is not in use."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
            self._accounts.clear()
            self._sessions.clear()
        for client in clients:
            client.close()

    def configured(self) -> bool:
        """Whether this machine has a Region or credentials for AWS at all."""
        session = self._session(Access())
        return bool(session.region_name) or session.get_credentials() is not None

    def settle(self, access: Access) -> Access:
        """The same access with its Region and account known. Raises Refused on a mismatch."""
        region = access.region or self._session(access).region_name or ""
        if not region:
            raise Refused("no Region is known", hint="give `region`, or set AWS_REGION")
        settled = msgspec.structs.replace(access, region=region)
        return msgspec.structs.replace(
            settled, account=self._account(settled, self._session(settled))
        )

    def call(self, access: Access, service: str, operation: str, **arguments: Any) -> Any:
        """One answer of one operation, named as in boto3."""
        client = self._checked(access, service)
        with self._translated(access, service, operation):
            return getattr(client, operation)(**arguments)

    def pages(
        self, access: Access, service: str, operation: str, key: str, **arguments: Any
    ) -> list[Any]:
        """What all pages of an operation list under `key`."""
        client = self._checked(access, service)
        with self._translated(access, service, operation):
            if not client.can_paginate(operation):
                return list(getattr(client, operation)(**arguments).get(key, ()))
            found = client.get_paginator(operation).paginate(**arguments)
            return [item for page in found for item in page.get(key, ())]

    def dry_run(self, access: Access, service: str, operation: str, **arguments: Any) -> None:
        """Ask whether it would be allowed; nothing is done. Raises Refused if not."""
        from botocore.exceptions import ClientError

        client = self._checked(access, service)
        with self._translated(access, service, operation):
            try:
                getattr(client, operation)(DryRun=True, **arguments)
            except ClientError as error:
                if error.response["Error"]["Code"] != "DryRunOperation":
                    raise

    def _checked(self, access: Access, service: str) -> Any:
        """A client of the very credentials whose account was compared."""
        session = self._session(access)
        if access.account:
            self._account(access, session)
        return self._client(access, service, session)

    def _account(self, access: Access, session: Any) -> str:
        """The account of a session's credentials. Raises Refused when another one is meant."""
        found = self._accounts.get(session)
        if found is None:
            client = self._client(access, "sts", session)
            with self._translated(access, "sts", "get_caller_identity"):
                found = str(client.get_caller_identity()["Account"])
            self._accounts[session] = found
        if access.account and access.account != found:
            raise Refused(
                f"account {access.account} is meant, and the credentials are for {found}",
                hint="use other credentials, or name the account that is meant",
            )
        return found

    def _session(self, access: Access) -> Any:
        import boto3
        import botocore.session
        from botocore.exceptions import BotoCoreError

        with self._lock:
            if access not in self._sessions:
                try:
                    inner = botocore.session.get_session()
                    inner.register_component("data_loader", _descriptions())
                    session = boto3.Session(
                        botocore_session=inner,
                        profile_name=access.profile or None,
                        region_name=access.region or None,
                    )
                    if access.role:
                        session = self._assumed(session, access)
                except BotoCoreError as error:
                    raise Refused(f"AWS: {error}", hint=_CREDENTIALS) from None
                self._sessions[access] = session
            return self._sessions[access]

    def _assumed(self, session: Any, access: Access) -> Any:
        """A session of the role, which renews its credentials by itself."""
        import boto3
        import botocore.session
        from botocore import credentials as c

        def creator(*arguments: Any, **keywords: Any) -> Any:
            settings = _settings(access)
            return session._session.create_client(*arguments, **{**settings, **keywords})

        source = session.get_credentials()
        if source is None:
            raise Refused("there are no AWS credentials to assume a role with", hint=_CREDENTIALS)
        extra: dict[str, Any] = {"RoleSessionName": "chaosrun"}
        if access.external_id:
            extra["ExternalId"] = access.external_id
        if access.session_tags:
            tags = sorted(access.session_tags.items())
            extra["Tags"] = [{"Key": key, "Value": value} for key, value in tags]
        fetcher = c.AssumeRoleCredentialFetcher(creator, source, access.role, extra_args=extra)
        inner = botocore.session.get_session()
        inner.register_component("data_loader", _descriptions())
        inner._credentials = c.DeferredRefreshableCredentials(
            method="assume-role", refresh_using=fetcher.fetch_credentials
        )
        return boto3.Session(botocore_session=inner, region_name=session.region_name)

    def _client(self, access: Access, service: str, session: Any = None) -> Any:
        from botocore.exceptions import BotoCoreError

        session = session or self._session(access)
        with self._lock:
            if (session, service) not in self._clients:
                try:
                    client = session.client(service, **_settings(access))
                except (BotoCoreError, ValueError) as error:  # a Region or URL that cannot be
                    raise Refused(f"AWS: {error}") from None
                client.meta.events.register("before-call", self._tell)
                self._clients[session, service] = client
            return self._clients[session, service]

    def _tell(self, model: Any, **_: Any) -> None:
        for observer in self.observers:
            observer(str(model.service_model.endpoint_prefix), str(model.name))

    def _forget(self, access: Access) -> None:
        """Read the credentials anew the next time."""
        with self._lock:
            session = self._sessions.pop(access, None)
            self._accounts.pop(session, None)
            for key in [key for key in self._clients if key[0] is session]:
                del self._clients[key]

    @contextlib.contextmanager
    def _translated(self, access: Access, service: str, operation: str) -> Iterator[None]:
        """AWS' errors in our words."""
        from botocore import exceptions as x

        try:
            yield
        except x.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _STALE:
                self._forget(access)
            raise _of_answer(error.response, service, operation) from None
        except (x.NoCredentialsError, x.PartialCredentialsError) as error:
            raise Refused(f"AWS: {error}", hint=_CREDENTIALS) from None
        except (x.ParamValidationError, x.NoRegionError) as error:
            raise Refused(f"{service} {operation}: {error}") from None
        except (x.EndpointConnectionError, x.ConnectTimeoutError) as error:
            raise Transient(f"{service} {operation}: {error}") from None
        except x.BotoCoreError as error:  # the answer was lost, or made no sense
            raise _unknown(operation)(f"{service} {operation}: {error}") from None


def until(look: Callable[[], bool], said: str, seconds: float = _WAIT) -> None:
    """Look again and again until it is so. Raises Indeterminate at the end of the time."""
    end, pause = time.monotonic() + seconds, _FIRST_LOOK
    while not look():
        cancellation = commands.current.get()
        if time.monotonic() > end or (cancellation is not None and cancellation.cancelled):
            raise Indeterminate(f"waited in vain: {said}")
        time.sleep(min(pause, max(0.0, end - time.monotonic())))
        pause = min(2 * pause, _LOOK_AGAIN)


@cache
def _descriptions() -> Any:
    """The vendor's descriptions of its services: slow to read, and the same for every session."""
    from botocore.loaders import create_loader

    return create_loader()


def _settings(access: Access) -> dict[str, Any]:
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT,
        read_timeout=_ANSWER,
        retries={"mode": "adaptive", "total_max_attempts": _ATTEMPTS},
        user_agent_extra="chaosrun",
    )
    return {"config": config, "endpoint_url": access.endpoint or None}


def _of_answer(response: dict[str, Any], service: str, operation: str) -> ChaosrunError:
    """The error for an answer that is one."""
    error = response.get("Error", {})
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{service} {operation}: {code}: {message}"
    if code in _STALE:
        return Transient(said, hint="renew the credentials")
    if code.startswith(_THROTTLED):
        return Transient(said)
    if code in _DENIED:
        return Denied(said, hint="`chaosrun permissions` lists the rights it takes")
    if "NotFound" in code or code == "ResourceNotFoundException":
        return NotFound(said)
    if code.startswith(_BUSY):
        return Transient(said)
    if status >= 500:
        return _unknown(operation)(said)
    return Refused(said)


def _unknown(operation: str) -> type[ChaosrunError]:
    return Transient if operation.startswith(_READS) else Indeterminate


def connect() -> Aws:
    """A client that has not connected to anything yet."""
    return Aws()
