//! The task that empties the queue.

use std::{collections::HashMap, sync::Arc};

use tenancy_core::TenantCtx;
use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinSet},
    time::{Instant, timeout_at},
};

use super::{
    Message,
    options::{BufferOptions, Counters},
    write::Writing,
};
use crate::{AuditStore, Draft};

/// How many batches are collected in one go, so that the entries of many actors make large ones.
const ROUND: usize = 4;

pub(super) struct Worker {
    receiver: mpsc::Receiver<Message>,
    options: BufferOptions,
    writing: Arc<Writing>,
    /// The batches on their way, and how many entries each of them has.
    under_way: JoinSet<()>,
    sizes: HashMap<Id, usize>,
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
        options: BufferOptions,
        counters: Arc<Counters>,
    ) -> Self {
        let writing = Arc::new(Writing::new(store, options.attempts, counters));
        Self {
            receiver,
            options: options.bounded(),
            writing,
            under_way: JoinSet::new(),
            sizes: HashMap::new(),
        }
    }

    /// Until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.receiver.recv().await {
            let mut round = Round::default();
            self.take(first, &mut round);
            self.fill(&mut round).await;
            for (ctx, mut drafts) in grouped(round.entries) {
                while !drafts.is_empty() {
                    let rest = drafts.split_off(self.options.max_batch.min(drafts.len()));
                    self.start(ctx.clone(), drafts).await;
                    drafts = rest;
                }
            }
            if !round.waiting.is_empty() {
                self.finish(0).await;
            }
            for waiting in round.waiting {
                let _ = waiting.send(());
            }
        }
        self.finish(0).await;
    }

    /// Waits for more, but not for long, and not at all when somebody waits for the round.
    async fn fill(&mut self, round: &mut Round) {
        let deadline = Instant::now() + self.options.max_delay;
        while round.entries.len() < self.options.max_batch * ROUND {
            // What is there costs no timer.
            let next = match self.receiver.try_recv() {
                Ok(message) => Some(message),
                Err(_) if round.waiting.is_empty() => timeout_at(deadline, self.receiver.recv())
                    .await
                    .ok()
                    .flatten(),
                Err(_) => None,
            };
            match next {
                Some(message) => self.take(message, round),
                None => return,
            }
        }
    }

    fn take(&mut self, message: Message, round: &mut Round) {
        match message {
            Message::Entry(entry) => round.entries.push(*entry),
            Message::Flush(waiting) => round.waiting.push(waiting),
            Message::Stop(waiting) => {
                self.receiver.close();
                round.waiting.push(waiting);
            }
        }
    }

    /// Writes a batch on the side, as soon as there is a writer for it.
    async fn start(&mut self, ctx: TenantCtx, drafts: Vec<Draft>) {
        self.finish(self.options.writers - 1).await;
        let (writing, count) = (self.writing.clone(), drafts.len());
        let task = self
            .under_way
            .spawn(async move { writing.write(&ctx, &drafts).await });
        self.sizes.insert(task.id(), count);
    }

    /// Waits until no more than so many batches are on their way.
    async fn finish(&mut self, most: usize) {
        while self.under_way.len() > most {
            let (id, died) = match self.under_way.join_next_with_id().await {
                Some(Ok((id, ()))) => (id, false),
                Some(Err(error)) => (error.id(), true),
                None => return,
            };
            let count = self.sizes.remove(&id).unwrap_or_default();
            if died {
                self.writing.died(count);
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
