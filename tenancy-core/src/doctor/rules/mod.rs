//! The catalog of rules.

mod attack;
mod functions;
mod grants;
mod keys;
mod policies;
mod roles;
mod server;
mod tables;
mod views;

use super::{Operation, rule::Check, rule::Rule};

const AREAS: &[&[Rule]] = &[
    tables::RULES,
    policies::RULES,
    grants::RULES,
    keys::RULES,
    views::RULES,
    functions::RULES,
    roles::RULES,
    server::RULES,
    attack::RULES,
];

/// The functions that reach across tenants, and that only the worker may call.
pub(super) const CROSSING: &[&str] = &[
    "audit_forget_keys",
    "audit_make_partitions",
    "audit_seal_begin",
    "audit_seal_health",
    "audit_seal_store",
    "audit_set_anchored",
    "audit_unanchored",
    "audit_stream_advance",
    "audit_stream_drop",
    "audit_stream_fail",
    "audit_stream_hold",
    "audit_stream_list",
    "audit_stream_look",
    "audit_stream_open",
    "audit_stream_read",
    "audit_stream_release",
    "audit_stream_resume",
    "begin_rotation",
    "data_keys_to_rewrap",
    "destroy_retired_keys",
    "due_oauth_revocations",
    "finish_rotation",
    "free_slugs",
    "job_policy_get",
    "job_policy_set",
    "job_worker_beat",
    "job_worker_owns",
    "job_worker_register",
    "job_worker_retire",
    "jobs_claim",
    "jobs_purge",
    "jobs_settle",
    "jobs_sweep",
    "list_tenants",
    "mcp_purge",
    "mcp_tenants_with_lost",
    "outbox_claim",
    "outbox_purge",
    "outbox_settle",
    "outbox_tenants",
    "platform_log_prune",
    "promote_data_key",
    "purge_ended_roles",
    "rewrap_data_key",
    "rotation_batch",
    "store_rotated",
    "subject_has_permission",
    "tenants_with_data_keys",
    "webhook_event_tenants",
    "webhook_events_claim",
    "webhook_events_parked",
    "webhook_events_release",
    "webhook_events_settle",
    "webhook_refusals_purge",
    "wrapped_data_key",
];

/// All rules, in the order of their ids.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    AREAS.iter().copied().flatten()
}

/// The rule of this id or name.
pub fn find(id_or_name: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.id == id_or_name || rule.name == id_or_name)
}

/// The rule that a leak through this operation breaks.
pub(super) fn of_attack(operation: Operation) -> Option<&'static Rule> {
    rules().find(|rule| matches!(rule.check, Check::Attack(of) if of == operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_in_order_and_each_says_why_and_how_to_mend() {
        let ids: Vec<_> = rules().map(|rule| rule.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        for rule in rules() {
            assert!(rule.id.starts_with("TEN") && rule.id.len() == 6);
            assert!(
                rule.why.ends_with('.') && rule.fix.contains(';'),
                "{}",
                rule.id
            );
        }
    }

    #[test]
    fn every_operation_of_the_attack_has_a_rule() {
        for operation in Operation::ALL {
            assert!(of_attack(operation).is_some(), "{operation:?}");
        }
    }
}
