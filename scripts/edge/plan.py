"""What a deploy will do, in words, before it does it."""

from collections.abc import Mapping
from typing import Any

from scripts.edge.bundle import Sizes
from scripts.edge.wrangler_config import secret_names


def describe(document: Mapping[str, Any], sizes: Sizes, account: str) -> str:
    """Return the plan of a deploy of *document* as lines of text."""
    flags = ", ".join(document["compatibility_flags"])
    lines = [
        f"Worker        {document['name']}",
        f"Account       {document.get('account_id') or account}",
        f"Upload        {sizes.files} files, {kib(sizes.raw)}, {kib(sizes.gzip)} packed",
        f"Runtime       {document['compatibility_date']}, {flags}",
        *_bindings(document),
        *(f"Variable      {name} = {value}" for name, value in document.get("vars", {}).items()),
        *(f"Cron          {cron} (UTC)" for cron in document.get("triggers", {}).get("crons", [])),
        *_migrations(document),
        "Secrets       must be set beforehand; without them the Worker answers 500:",
        *(f"                wrangler secret put {name}" for name in secret_names()),
    ]
    if document.get("vars", {}).get("ENVIRONMENT") != "production":
        lines.append(
            "Note          ENVIRONMENT is not production: development secrets are accepted."
        )
    return "\n".join(lines)


def _bindings(document: Mapping[str, Any]) -> list[str]:
    lines = [
        f"KV            {row['binding']} -> namespace {row['id']}"
        for row in document.get("kv_namespaces", [])
    ]
    lines += [
        f"D1            {row['binding']} -> {row['database_name']} ({row.get('database_id', '?')})"
        for row in document.get("d1_databases", [])
    ]
    lines += [
        f"R2            {row['binding']} -> bucket {row['bucket_name']}"
        for row in document.get("r2_buckets", [])
    ]
    lines += [
        f"Actor         {row['name']} -> class {row['class_name']}"
        for row in document.get("durable_objects", {}).get("bindings", [])
    ]
    return lines


def _migrations(document: Mapping[str, Any]) -> list[str]:
    lines = [
        f"Actor classes migration {row['tag']}: new {', '.join(row.get('new_sqlite_classes', []))}"
        for row in document.get("migrations", [])
    ]
    lines += [
        f"D1 migrations applied first: wrangler d1 migrations apply {row['database_name']} --remote"
        for row in document.get("d1_databases", [])
        if "migrations_dir" in row
    ]
    return lines


def kib(count: int) -> str:
    """Write a number of bytes in KiB."""
    return f"{count / 1024:,.0f} KiB"
