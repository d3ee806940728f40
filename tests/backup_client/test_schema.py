"""payload.proto and the code generated from it say the same."""

import re

from google.protobuf.descriptor import FieldDescriptor

from clients.python.backup import payload_pb2
from tests.house.sources import ROOT

KINDS = {
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BOOL: "bool",
}


def declared() -> dict[str, list[tuple[str, str, int]]]:
    """Return the messages of payload.proto: name -> (type, field, number)."""
    text = (ROOT / "clients" / "python" / "backup" / "payload.proto").read_text()
    bodies = re.findall(r"^message (\w+) \{(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    field = re.compile(r"^\s*((?:repeated )?\w+) (\w+) = (\d+);", re.MULTILINE)
    return {
        name: [(kind, each, int(number)) for kind, each, number in field.findall(body)]
        for name, body in bodies
    }


def generated() -> dict[str, list[tuple[str, str, int]]]:
    """Return the same from the generated descriptors."""

    def kind(field: FieldDescriptor) -> str:
        name = field.message_type.name if field.message_type else KINDS[field.type]
        return f"repeated {name}" if field.is_repeated else name

    messages = payload_pb2.DESCRIPTOR.message_types_by_name
    return {
        name: [(kind(field), field.name, field.number) for field in message.fields]
        for name, message in messages.items()
    }


def test_the_generated_code_is_current() -> None:
    """Whoever changes the schema runs the compiler (docs/backup-format.md, "Schema")."""
    assert declared() == generated()
    assert set(declared()) == {"Payload", "Identity", "Contact", "Profile"}
