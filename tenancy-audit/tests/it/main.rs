//! What a host relies on, on a real Postgres, as the app role, with two tenants in the database.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and tells one story"
)]

mod adopted;
mod adopted_pages;
mod adoption;
mod after_removal;
mod anchors;
mod anchors_away;
mod append_only;
mod applied;
mod buffered;
mod buffered_loss;
mod buffered_panics;
mod clock;
mod crash;
mod crash_sealer;
mod crash_server;
mod crash_streamer;
mod erased_details;
mod erased_places;
mod erasure;
mod exports;
mod far_times;
mod filters;
mod foreign;
mod forged;
mod forks;
mod handed_out;
mod held;
mod isolation;
mod kept_apart;
mod keys;
mod layer;
mod layer_ends;
mod layer_lengths;
mod layer_order;
mod layer_paths;
mod limits;
mod looks;
mod lost;
mod malformed;
mod many_writers;
mod mutating;
mod mutations;
mod old_logs;
mod own_server;
mod own_store;
mod pages;
mod partitions;
mod policies;
mod policies_agree;
mod prepared;
mod proof_files;
mod put_back;
mod redaction;
mod restore;
mod retention;
mod retention_bounds;
mod schemas;
mod seal_suite;
mod seals;
mod search;
mod single_proofs;
mod sink_suite;
mod statements;
mod strays;
mod stream_bounds;
mod streams;
mod support;
mod tail;
mod text_forms;
mod torn;
mod unsealed;
mod verified;
mod verify;
mod wire;
