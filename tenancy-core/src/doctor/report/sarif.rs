//! SARIF 2.1.0. What is found lies in a database and not in a file, so that results have logical
//! locations only.

use serde_json::{Value, json};

use super::Report;
use crate::doctor::{
    rule::{Rule, Severity},
    rules::rules,
};

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

pub(super) fn render(report: &Report) -> Value {
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tenancy doctor",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules().map(described).collect::<Vec<_>>(),
            }},
            "results": results(report),
        }],
    })
}

fn described(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "name": rule.name,
        "shortDescription": { "text": rule.name.replace('_', " ") },
        "fullDescription": { "text": rule.why },
        "help": { "text": format!("{}\n\n{}", rule.why, rule.fix) },
        "defaultConfiguration": { "level": level(rule.severity) },
    })
}

fn results(report: &Report) -> Vec<Value> {
    let results = report.findings.iter().map(|finding| {
        json!({
            "ruleId": finding.rule,
            "level": level(finding.severity),
            "message": { "text": format!("{}: {}\n{}", finding.object, finding.detail, finding.fix) },
            "locations": [{ "logicalLocations": [{
                "fullyQualifiedName": finding.object,
                "kind": "object",
            }]}],
            "partialFingerprints": { "object/v1": finding.fingerprint() },
        })
    });
    results.collect()
}
