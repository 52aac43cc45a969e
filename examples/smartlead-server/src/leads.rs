//! Leads in memory, and the count of what was done to them.

use std::collections::BTreeMap;

use rmcp::schemars;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The fields of a lead, as Smartlead names them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeadFields {
    /// Needed even if it does not change.
    #[schemars(email)]
    pub(crate) email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phone_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) company_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) website: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) linkedin_profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) company_url: Option<String>,
    /// Merged into those that are there, not put in their place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 200))]
    pub(crate) custom_fields: Option<Map<String, Value>>,
}

#[derive(Debug, Default)]
pub(crate) struct Leads {
    /// Leads by id; a lead is one, in however many campaigns it is.
    by_id: BTreeMap<i64, Map<String, Value>>,
    calls: BTreeMap<&'static str, u64>,
    /// Calls that arrived, also those that met a fault before any work.
    pub(crate) received: u64,
}

const MOST_CUSTOM_FIELDS: usize = 200;
const MOST_LEADS: usize = 400;
/// Ids from here on are given to leads that are added; those below exist from the start.
const FIRST_ADDED: i64 = 1_000_000;

impl Leads {
    pub(crate) fn count(&mut self, tool: &'static str) {
        *self.calls.entry(tool).or_default() += 1;
    }

    pub(crate) fn update(&mut self, id: i64, new: LeadFields) -> Result<(), String> {
        if id < 1 || (id >= FIRST_ADDED && !self.by_id.contains_key(&id)) {
            return Err(format!("404: there is no lead {id}"));
        }
        let mut lead = self.by_id.get(&id).cloned().unwrap_or_default();
        let custom = lead.remove("custom_fields").unwrap_or_default();
        let mut custom = custom.as_object().cloned().unwrap_or_default();
        custom.extend(new.custom_fields.clone().unwrap_or_default());
        if custom.len() > MOST_CUSTOM_FIELDS {
            return Err(format!(
                "422: a lead has at most {MOST_CUSTOM_FIELDS} custom fields"
            ));
        }
        lead.extend(fields(new));
        lead.insert("custom_fields".to_owned(), custom.into());
        self.by_id.insert(id, lead);
        Ok(())
    }

    pub(crate) fn add(&mut self, leads: Vec<LeadFields>) -> Result<Vec<i64>, String> {
        if leads.len() > MOST_LEADS {
            return Err(format!("422: at most {MOST_LEADS} leads at once"));
        }
        let free = self
            .by_id
            .keys()
            .next_back()
            .map_or(FIRST_ADDED, |last| last + 1);
        let ids: Vec<i64> = (free.max(FIRST_ADDED)..).take(leads.len()).collect();
        self.by_id
            .extend(ids.iter().copied().zip(leads.into_iter().map(fields)));
        Ok(ids)
    }

    pub(crate) fn get(&self, id: i64) -> Result<Value, String> {
        self.by_id
            .get(&id)
            .cloned()
            .map(Value::from)
            .ok_or(format!("404: there is no lead {id}"))
    }

    /// `calls`: what each tool did, by the number of its executions.
    pub(crate) fn stats(&self) -> Value {
        json!({"calls": self.calls, "received": self.received, "leads": self.by_id})
    }
}

/// The fields that are given.
fn fields(lead: LeadFields) -> Map<String, Value> {
    let value = serde_json::to_value(lead).unwrap_or_default();
    value.as_object().cloned().unwrap_or_default()
}
