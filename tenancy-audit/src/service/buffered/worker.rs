//! The task that empties the queue.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use tenancy_core::TenantCtx;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    Bell, Message,
    options::{BufferOptions, Counters},
    owed::Owed,
    write::{Batch, Writing},
};
use crate::{AuditStore, Draft};

/// How many batches are taken in one go if they are there, so that the entries of many actors make large ones.
const ROUND: usize = 4;

/// How many batches may wait for their keys; with more of them the queue waits, too.
const MOST_LATE: usize = 64;

pub(super) struct Worker {
    receiver: mpsc::Receiver<Message>,
    /// Told when there is enough for a batch, somebody waits, or a handle is dropped: an event alone wakes nobody,
    /// since that costs more than the rest of it.
    bell: Arc<Bell>,
    /// What was received and not looked at yet; empty wherever something is waited for.
    received: Vec<Message>,
    options: BufferOptions,
    writing: Arc<Writing>,
    /// What was taken from the queue and is on no way yet.
    owed: Owed,
    /// The batches on their way; each answers what has to wait for its keys.
    under_way: JoinSet<Option<Batch>>,
    /// Those that wait for their keys.
    late: JoinSet<()>,
}

/// What was taken from the queue in one go.
#[derive(Default)]
struct Round {
    entries: Vec<(TenantCtx, Draft)>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Worker {
    pub(super) fn new(
        store: Arc<dyn AuditStore>,
        receiver: mpsc::Receiver<Message>,
        bell: Arc<Bell>,
        options: BufferOptions,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            receiver,
            bell,
            received: Vec::new(),
            writing: Arc::new(Writing::new(store, options.attempts)),
            options,
            owed: Owed::new(counters),
            under_way: JoinSet::new(),
            late: JoinSet::new(),
        }
    }

    /// Until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        while let Some(round) = self.next().await {
            for (ctx, mut drafts) in grouped(round.entries) {
                while !drafts.is_empty() {
                    let rest = drafts.split_off(self.options.max_batch.min(drafts.len()));
                    self.start(ctx.clone(), drafts).await;
                    drafts = rest;
                }
            }
            if !round.waiting.is_empty() {
                self.finish_all().await;
            }
            for waiting in round.waiting {
                let _ = waiting.send(());
            }
        }
        self.finish_all().await;
    }

    /// What is there; waits for a batch, but not for long, and not at all when somebody waits for the round.
    async fn next(&mut self) -> Option<Round> {
        let (mut round, most) = (Round::default(), self.options.max_batch * ROUND);
        if self.receive(1, &mut round).await == 0 {
            return None;
        }
        let deadline = Instant::now() + self.options.max_delay;
        while round.waiting.is_empty() && !self.is_urgent() {
            if timeout_at(deadline, self.bell.rings.notified())
                .await
                .is_err()
            {
                break;
            }
        }
        if !self.receiver.is_empty() {
            self.receive(most - 1, &mut round).await;
        }
        Some(round)
    }

    /// Whether what is in the queue should be written now. The bell may have rung for what is on its way already.
    fn is_urgent(&self) -> bool {
        self.receiver.len() >= self.options.enough()
            || self.receiver.is_closed()
            || self.bell.is_asked.swap(false, Ordering::AcqRel)
    }

    /// Takes up to so many messages from the queue, as soon as there is one; 0 at its end. Their room is given
    /// back at once, so that those who wait for it are not woken one by one.
    async fn receive(&mut self, most: usize, round: &mut Round) -> usize {
        let count = self.receiver.recv_many(&mut self.received, most).await;
        for message in self.received.drain(..) {
            match message {
                Message::Entry(entry) => {
                    self.owed.add(1);
                    round.entries.push(*entry);
                }
                Message::Flush(waiting) => round.waiting.push(waiting),
                Message::Stop(waiting) => {
                    self.receiver.close();
                    round.waiting.push(waiting);
                }
            }
        }
        count
    }

    /// Writes a batch on the side, as soon as there is a writer for it.
    async fn start(&mut self, ctx: TenantCtx, drafts: Vec<Draft>) {
        self.finish(self.options.writers - 1).await;
        let owed = self.owed.split(drafts.len());
        let (writing, batch) = (self.writing.clone(), Batch { ctx, drafts, owed });
        self.under_way
            .spawn(async move { writing.write(batch).await });
    }

    /// Waits until no more than so many batches are on their way. What waits for its keys is out of their way.
    async fn finish(&mut self, most: usize) {
        while self.under_way.len() > most {
            let Some(done) = self.under_way.join_next().await else {
                return;
            };
            // A writer that panicked has counted its batch as lost.
            if let Ok(Some(waits)) = done {
                while self.late.len() >= MOST_LATE {
                    self.late.join_next().await;
                }
                let writing = self.writing.clone();
                self.late
                    .spawn(async move { writing.write_late(waits).await });
            }
        }
        while self.late.try_join_next().is_some() {}
    }

    async fn finish_all(&mut self) {
        self.finish(0).await;
        while self.late.join_next().await.is_some() {}
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.receiver.close();
        while let Ok(message) = self.receiver.try_recv() {
            if let Message::Entry(_) = message {
                self.owed.add(1);
            }
        }
    }
}

/// By tenant and actor, since a transaction has one of each; in the order they came.
fn grouped(entries: Vec<(TenantCtx, Draft)>) -> Vec<(TenantCtx, Vec<Draft>)> {
    let mut groups: Vec<(TenantCtx, Vec<Draft>)> = Vec::new();
    let mut known = HashMap::new();
    let mut last = usize::MAX;
    for (ctx, draft) in entries {
        let same = |(_, drafts): &(TenantCtx, Vec<Draft>)| {
            let first = drafts.first();
            first.is_some_and(|first| first.tenant == draft.tenant && first.actor == draft.actor)
        };
        if !groups.get(last).is_some_and(same) {
            let key = (draft.tenant, draft.actor.clone());
            last = *known.entry(key).or_insert(groups.len());
        }
        match groups.get_mut(last) {
            Some((_, drafts)) => drafts.push(draft),
            None => groups.push((ctx, vec![draft])),
        }
    }
    groups
}
