//! `doctor`.

use serde_json::{Map, Value, json};

use super::super::args::GlobalArgs;
use super::super::context::{folder_of, quarry_command};
use super::super::error::{CliError, CliResult};
use super::super::output::Output;
use super::super::progress;
use crate::node::{self, Diagnosis, Level, Settings};

/// Tells what is wrong with the data folder. It works where settings and spec are damaged, so it reads neither beforehand.
pub(super) fn run(global: &GlobalArgs) -> CliResult {
    let out = Output::new(global.json);
    let folder = folder_of(global)?;
    let file = global
        .config
        .clone()
        .unwrap_or_else(|| folder.settings_file());
    let settings = Settings::read(&file).unwrap_or_default();
    let chain = global.chain.clone().filter(|text| !text.is_empty());
    let choice = chain.clone().or(settings.chain);
    let spinner = progress::spinner("Looking");
    let diagnosis = node::diagnose(
        &folder,
        choice.as_deref(),
        &file,
        &|command| quarry_command(&folder, chain.as_deref(), command),
        &mut |what| spinner.set_message(what.to_owned()),
    );
    spinner.finish_and_clear();
    let verify = quarry_command(&folder, chain.as_deref(), "verify-chain --full");
    out.show(
        || as_json(&diagnosis, &verify),
        || for_people(&diagnosis, &verify),
    )?;
    match diagnosis.is_sound() {
        true => Ok(()),
        false => Err(CliError::Told),
    }
}

fn as_json(diagnosis: &Diagnosis, verify: &str) -> Value {
    let facts: Map<_, _> = diagnosis
        .facts
        .iter()
        .map(|(name, value)| (name.to_lowercase().replace(' ', "_"), json!(value)))
        .collect();
    let findings: Vec<_> = diagnosis
        .findings
        .iter()
        .map(|finding| {
            json!({
                "level": word(finding.level),
                "what": finding.what,
                "why": finding.why,
                "mend": finding.mend,
            })
        })
        .collect();
    json!({
        "sound": diagnosis.is_sound(),
        "facts": facts,
        "findings": findings,
        "next": diagnosis.is_sound().then_some(verify),
    })
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Problem => "problem",
        Level::Note => "note",
    }
}

fn for_people(diagnosis: &Diagnosis, verify: &str) -> String {
    let mut lines: Vec<_> = diagnosis
        .facts
        .iter()
        .map(|(name, value)| format!("{name:<12} {value}"))
        .collect();
    for finding in &diagnosis.findings {
        lines.push(String::new());
        lines.push(format!(
            "{}: {}",
            word(finding.level).to_uppercase(),
            finding.what
        ));
        lines.push(format!("  why   {}", finding.why));
        if let Some(mend) = &finding.mend {
            lines.push(format!("  mend  {mend}"));
        }
    }
    lines.push(String::new());
    lines.push(match diagnosis.is_sound() {
        true => format!(
            "No problem was found. This applies every rule to every block again:\n  {verify}"
        ),
        false => "After mending, call doctor again.".to_owned(),
    });
    lines.join("\n")
}
