"""Who is told of runs: callbacks of the task that judges a run, and deadline alerts of its DAG.

The callbacks are those of `finish`, not of the DAG: only `finish` knows what is wrong, and a DAG's own callbacks are
not called when somebody marks a run failed. A deadline alert is Airflow's scheduler's: it comes also when nothing of
the run works, and is taken back when the run is green in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseNotifier
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from mongo_backup.objects.configuration import BackupConfiguration, Session
from mongo_backup.objects.notifications import Event, MailNotification, Notification, deadline_after
from mongo_backup_airflow.notifiers.webhook import WebhookNotifier
from mongo_backup_airflow.notifiers.words import SAID

_RUN = "Run <code>{{ (dag_run.run_id or dag_run.dag_run_id) | e }}</code> of <code>{{ dag_run.dag_id | e }}</code>"
_REASON = {
    "failure": "{{ (exception | default('', true)) | string | truncate(1000) | e }}",
    "success": "",
    "late": "due {{ deadline.deadline_time | e }}, the run of that time is {{ dag_run.state | e }}",
}


def callbacks(configuration: BackupConfiguration) -> dict[str, Any]:
    """Arguments of `finish`: what is called when it failed or succeeded."""
    wanted: tuple[tuple[str, Event], ...] = (("on_failure_callback", "failure"), ("on_success_callback", "success"))
    found = {name: [_notifier(each, event) for each in _those(configuration, event)] for name, event in wanted}
    return {name: notifiers for name, notifiers in found.items() if notifiers}


def deadlines(configuration: BackupConfiguration, session: Session) -> dict[str, Any]:
    """Arguments of a session's DAG: alerts when no good run is there in time."""
    if session.deadline is None or session.schedule is None:
        return {}
    interval = deadline_after(session.deadline, session.schedule)
    alerts = [_alert(each, interval) for each in _those(configuration, "late")]
    return {"deadline": alerts} if alerts else {}


def _those(configuration: BackupConfiguration, event: Event) -> Iterator[Notification]:
    return (each for each in configuration.spec.notifications if event in each.on)


def _notifier(notification: Notification, event: Event) -> BaseNotifier:
    kind, arguments = _call(notification, event)
    return kind(**arguments)


def _alert(notification: Notification, interval: timedelta) -> DeadlineAlert:
    kind, arguments = _call(notification, "late")
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        interval=interval,
        callback=AsyncCallback(kind, kwargs=arguments),
    )


def _call(notification: Notification, event: Event) -> tuple[type[BaseNotifier], dict[str, Any]]:
    """The notifier and its arguments."""
    if notification.webhook is not None:
        return WebhookNotifier, {"connection": notification.webhook.connection, "event": event}
    return _mail(notification.mail, event)


def _mail(mail: MailNotification | None, event: Event) -> tuple[type[BaseNotifier], dict[str, Any]]:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    if mail is None:
        raise ValueError("a notification has neither `webhook` nor `mail`")
    return SmtpNotifier, {
        "to": list(mail.to),
        "smtp_conn_id": mail.connection,
        "subject": f"[mongo-backup] {{{{ dag_run.dag_id }}}} {SAID[event]}",
        "html_content": f"<p>{_RUN} {SAID[event]}</p><p>{_REASON[event]}</p>",
    }
