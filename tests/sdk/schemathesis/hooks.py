"""What a schema does not say, so that what is made up comes further than the door. What is wrong by it stays so."""

import itertools

import schemathesis

numbers = itertools.count()


def settle(event):
    """An event has data or a whole body of its own, and only that has a type."""
    if not isinstance(event, dict):
        return
    if "data" in event:
        for name in ["raw", "content_type"]:
            if isinstance(event.get(name), str):
                del event[name]
    elif event.get("raw") is None:
        event["data"] = {"amount": 1.0}


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.path == "/events":
        settle(case.body)
    elif case.path == "/events/batch" and isinstance(case.body, dict) and isinstance(case.body.get("events"), list):
        for event in case.body["events"]:
            settle(event)
    # A key is good for one request, and hardly two that are made up are the same: every fourth may be used again.
    key = case.headers.get("Idempotency-Key")
    number = next(numbers)
    if isinstance(key, str) and 1 <= len(key) <= 200 and number % 4:
        case.headers["Idempotency-Key"] = f"{key}-{number}"
