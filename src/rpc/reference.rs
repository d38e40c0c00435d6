//! `docs/rpc.md`, made from the table of methods. `tests/documents.rs` compares the file with it.

use std::fmt::Write;

use super::error::CODES;
use super::method::Method;
use super::methods::{OMITTED, by_category};

const HEAD: &str = "\
# JSON-RPC

This file is made from the table of methods in `src/rpc/methods`: `QUARRY_WRITE_RPC=1 cargo test --release --test documents`
writes it anew. The same table is behind `quarry rpc help METHOD` and the OpenRPC document, which the method `rpc.discover` answers and
the node serves at `http://127.0.0.1:7668/openrpc.json`.

Names, parameters, results and error codes are those of Bitcoin Core. What it does not have is marked \"Quarry:\".

## Calling

- **Address.** `POST /` on port 7668, on the loopback address unless `--rpc-listen` says otherwise. `/wallet/NAME` names a wallet.
- **Who may.** HTTP basic authentication with the text of the file `.cookie` in the network's folder, which is made anew at
  each start, or as a user of `--rpc-auth`, which `quarry rpc-auth USER` makes. 401 comes after a delay.
- **Form.** JSON-RPC 1.0, 1.1 and 2.0 by the member `jsonrpc`; `Content-Type: application/json`. Parameters by position (a list) or by name (an
  object, in which `args` may hold the first ones by position). Batches of up to 1,000 requests. A request of version 2.0 without `id` is a notification and
  gets no answer (204).
- **Status.** Version 2.0: 200 for every answer. Versions 1: 200 for results, 404 for unknown methods, 400 for what is no request, 500 for other errors.
  403 for a foreign `Host` or `Origin`, 405 for another HTTP method, 413 and 431 for too large bodies and heads, 415 for another content type, 503
  when too much is under way.
- **Amounts** are numbers with eight decimals; they are read exactly, also from strings.
- `quarry rpc METHOD PARAM…` calls the node of the data folder, as `bitcoin-cli` does.
";

/// The text of the file.
#[must_use]
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    text += "\n## Error codes\n\n| code | when |\n|---|---|\n";
    for (code, when) in CODES {
        let _ = writeln!(text, "| {code} | {} |", when.trim());
    }
    for (category, methods) in by_category() {
        let _ = writeln!(text, "\n## {category}");
        for method in methods {
            text += &section(method);
        }
    }
    text += "\n## Left out\n\nThese methods of Bitcoin Core answer -32601 with the reason.\n\n| method | why |\n|---|---|\n";
    for (name, why) in OMITTED {
        let _ = writeln!(text, "| `{name}` | {why} |");
    }
    text
}

fn section(method: &Method) -> String {
    let mut text = format!("\n### {}\n\n{}\n", method.name, method.about);
    if !method.params.is_empty() {
        text += "\n| parameter | | |\n|---|---|---|\n";
        for param in method.params {
            let alias = param
                .alias
                .map_or_else(String::new, |alias| format!(" or `{alias}`"));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| `{}`{alias} | {} | {} |",
                param.name,
                param.terms(),
                param.about
            );
        }
    }
    let [example, _] = method.examples();
    let _ = writeln!(
        text,
        "\n```text\n{}\n```\n\n```console\n$ {example}\n```",
        method.result
    );
    text
}
