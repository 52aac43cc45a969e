//! What every [`InvocationStore`] has to do.

use std::time::Duration;

use serde_json::{Map, json};
use tenancy_core::{Event, TenantCtx};

use crate::{
    Claim, Claimed, Completed, Completion, DefinitionHash, EffectClass, Error, Fingerprint,
    IdempotencyKey, InvocationState, InvocationStore, Outcome, StoredError, StoredResponse, ToolId,
};

/// A tool the store knows as approved, in the tenant of a context.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subject {
    /// Somebody of the tenant.
    pub ctx: TenantCtx,
    /// The tool.
    pub tool: ToolId,
    /// The approved definition.
    pub definition: DefinitionHash,
    /// What it was approved as.
    pub effect: EffectClass,
}

impl Subject {
    /// A tool of a tenant.
    pub fn new(
        ctx: TenantCtx,
        tool: ToolId,
        definition: DefinitionHash,
        effect: EffectClass,
    ) -> Self {
        Self {
            ctx,
            tool,
            definition,
            effect,
        }
    }

    fn claim(&self, key: &str, n: i64, lease: Duration) -> Result<Claim, Error> {
        let params = Map::from_iter([("n".to_owned(), json!(n))]);
        let fingerprint = Fingerprint::of(self.tool, &params);
        let key = IdempotencyKey::parse(key)?;
        let claim = Claim::new(self.tool, key, fingerprint, self.definition, lease);
        Ok(claim.with_effect(self.effect.clone()))
    }
}

const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(60);
const OVER: Duration = Duration::from_millis(120);

/// Runs the whole suite: with a tool that must not be repeated, one that may, and the first one's
/// like in another tenant.
///
/// # Panics
/// Where the store does not do what the port promises.
pub async fn invocation_store(
    store: &dyn InvocationStore,
    once: &Subject,
    often: &Subject,
    elsewhere: &Subject,
) -> Result<(), Error> {
    one_of_many_claims_is_granted(store, once).await?;
    a_result_is_replayed_and_other_parameters_conflict(store, once).await?;
    two_tenants_use_one_key(store, once, elsewhere).await?;
    proof_of_no_effect_lets_any_call_go_on(store, once).await?;
    an_ambiguous_end_is_final_for_what_must_not_be_repeated(store, once).await?;
    an_ambiguous_end_is_repeated_where_that_does_no_harm(store, often).await?;
    a_lost_owner_leaves_unknown_or_is_followed(store, once, often).await?;
    a_late_answer_settles_what_was_unknown(store, once).await?;
    somebody_settles_what_is_unknown_once(store, once, elsewhere).await
}

fn event() -> Event {
    Event::new("mcp.tool.invoked")
}

fn result(text: &str) -> Outcome {
    Outcome::Succeeded(StoredResponse::new(text, 1_000))
}

fn trouble() -> StoredError {
    StoredError::new("timeout", "no answer")
}

async fn granted(
    store: &dyn InvocationStore,
    subject: &Subject,
    claim: &Claim,
) -> Result<i64, Error> {
    match store.claim(&subject.ctx, claim).await? {
        Claimed::Execute {
            fence, may_repeat, ..
        } => {
            assert_eq!(may_repeat, subject.effect.may_repeat());
            Ok(fence)
        }
        other => Err(Error::internal(
            "not_granted",
            format!("the claim got {other:?}"),
        )),
    }
}

async fn complete(
    store: &dyn InvocationStore,
    subject: &Subject,
    claim: &Claim,
    fence: i64,
    outcome: Outcome,
) -> Result<Completed, Error> {
    let completion = Completion::new(claim, fence, outcome);
    store.complete(&subject.ctx, &completion, event()).await
}

/// Of claims at once, one is granted; the others see it in flight.
async fn one_of_many_claims_is_granted(
    store: &dyn InvocationStore,
    subject: &Subject,
) -> Result<(), Error> {
    let mut claims = Vec::new();
    for _ in 0..8 {
        claims.push(subject.claim("many", 1, LONG)?);
    }
    let answers = futures_join(claims.iter().map(|claim| store.claim(&subject.ctx, claim))).await;
    let mut granted = 0;
    for answer in answers {
        match answer? {
            Claimed::Execute {
                fence: 1,
                attempt: 1,
                ..
            } => granted += 1,
            Claimed::InFlight(left) => assert!(left > Duration::ZERO && left <= LONG),
            other => return Err(Error::internal("unexpected", format!("{other:?}"))),
        }
    }
    assert_eq!(granted, 1, "of eight claims at once exactly one is granted");
    Ok(())
}

/// Polls the claims side by side, without an executor of its own.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(Box::pin).map(Some).collect();
    let mut done: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        for (future, output) in waiting.iter_mut().zip(done.iter_mut()) {
            if let Some(running) = future
                && let std::task::Poll::Ready(ready) = running.as_mut().poll(cx)
            {
                *output = Some(ready);
                *future = None;
            }
        }
        if waiting.iter().any(Option::is_some) {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(done.drain(..).flatten().collect())
    })
    .await
}

/// A settled call gives the same bytes to everybody, and nothing else to other parameters.
async fn a_result_is_replayed_and_other_parameters_conflict(
    store: &dyn InvocationStore,
    subject: &Subject,
) -> Result<(), Error> {
    let text = "{\"b\":1,\"a\":1.50,\"text\":\"\\u0000\"}";
    let claim = subject.claim("replay", 1, LONG)?;
    let fence = granted(store, subject, &claim).await?;
    let kept = complete(store, subject, &claim, fence, result(text)).await?;
    assert_eq!(kept, Completed::Recorded(InvocationState::Succeeded));
    assert_eq!(store.claim(&subject.ctx, &claim).await?, Claimed::Settled);
    let found = store.find(&subject.ctx, subject.tool, &claim.key).await?;
    let response = found.and_then(|call| call.response);
    assert_eq!(response.and_then(|kept| kept.text).as_deref(), Some(text));

    let other = subject.claim("replay", 2, LONG)?;
    assert_eq!(store.claim(&subject.ctx, &other).await?, Claimed::Conflict);
    let again = complete(store, subject, &claim, fence, result("{}")).await?;
    assert_eq!(again, Completed::Stale, "a settled call is settled");
    Ok(())
}

/// A key belongs to its tenant.
async fn two_tenants_use_one_key(
    store: &dyn InvocationStore,
    here: &Subject,
    there: &Subject,
) -> Result<(), Error> {
    let (mine, theirs) = (
        here.claim("shared", 1, LONG)?,
        there.claim("shared", 1, LONG)?,
    );
    granted(store, here, &mine).await?;
    granted(store, there, &theirs).await?;
    assert!(
        store
            .find(&there.ctx, here.tool, &mine.key)
            .await?
            .is_none()
    );
    Ok(())
}

/// With proof that nothing was done, even what must not be repeated is handed out again, when its
/// wait is over; the older claim is void from then on.
async fn proof_of_no_effect_lets_any_call_go_on(
    store: &dyn InvocationStore,
    subject: &Subject,
) -> Result<(), Error> {
    let claim = subject.claim("proof", 1, LONG)?;
    let fence = granted(store, subject, &claim).await?;
    let nothing = Outcome::NotExecuted(trouble(), SHORT);
    let kept = complete(store, subject, &claim, fence, nothing).await?;
    assert_eq!(kept, Completed::Recorded(InvocationState::Retryable));
    assert!(matches!(
        store.claim(&subject.ctx, &claim).await?,
        Claimed::NotDue(_)
    ));
    tokio::time::sleep(OVER).await;
    let newer = granted(store, subject, &claim).await?;
    assert!(newer > fence);
    let stale = complete(store, subject, &claim, fence, result("{\"stale\":true}")).await?;
    assert_eq!(stale, Completed::Stale, "an older fence completes nothing");
    let kept = complete(store, subject, &claim, newer, result("{}")).await?;
    assert_eq!(kept, Completed::Recorded(InvocationState::Succeeded));
    Ok(())
}

/// Without an answer, what must not be repeated is never handed out again.
async fn an_ambiguous_end_is_final_for_what_must_not_be_repeated(
    store: &dyn InvocationStore,
    subject: &Subject,
) -> Result<(), Error> {
    let claim = subject.claim("ambiguous", 1, LONG)?;
    let fence = granted(store, subject, &claim).await?;
    let lost = Outcome::Ambiguous(trouble(), Duration::ZERO);
    let kept = complete(store, subject, &claim, fence, lost).await?;
    assert_eq!(kept, Completed::Recorded(InvocationState::Unknown));
    assert_eq!(store.claim(&subject.ctx, &claim).await?, Claimed::Unknown);
    Ok(())
}

/// Without an answer, what may be repeated is.
async fn an_ambiguous_end_is_repeated_where_that_does_no_harm(
    store: &dyn InvocationStore,
    subject: &Subject,
) -> Result<(), Error> {
    let claim = subject.claim("ambiguous", 1, LONG)?;
    let fence = granted(store, subject, &claim).await?;
    let lost = Outcome::Ambiguous(trouble(), Duration::ZERO);
    let kept = complete(store, subject, &claim, fence, lost).await?;
    assert_eq!(kept, Completed::Recorded(InvocationState::Retryable));
    assert!(granted(store, subject, &claim).await? > fence);
    Ok(())
}

/// An owner whose lease ended is followed by the next claim, or leaves an unknown call.
async fn a_lost_owner_leaves_unknown_or_is_followed(
    store: &dyn InvocationStore,
    once: &Subject,
    often: &Subject,
) -> Result<(), Error> {
    let claim = often.claim("lost", 1, SHORT)?;
    let fence = granted(store, often, &claim).await?;
    assert!(matches!(
        store.claim(&often.ctx, &claim).await?,
        Claimed::InFlight(_)
    ));
    tokio::time::sleep(OVER).await;
    assert!(granted(store, often, &claim).await? > fence);

    let claim = once.claim("lost", 1, SHORT)?;
    granted(store, once, &claim).await?;
    tokio::time::sleep(OVER).await;
    let found = store.find(&once.ctx, once.tool, &claim.key).await?;
    assert_eq!(found.map(|call| call.state), Some(InvocationState::Unknown));
    assert_eq!(store.claim(&once.ctx, &claim).await?, Claimed::Unknown);
    Ok(())
}

/// The owner who was thought lost may still bring the answer.
async fn a_late_answer_settles_what_was_unknown(
    store: &dyn InvocationStore,
    subject: &Subject,
) -> Result<(), Error> {
    let claim = subject.claim("late", 1, SHORT)?;
    let fence = granted(store, subject, &claim).await?;
    tokio::time::sleep(OVER).await;
    assert_eq!(store.claim(&subject.ctx, &claim).await?, Claimed::Unknown);
    let kept = complete(store, subject, &claim, fence, result("{}")).await?;
    assert_eq!(kept, Completed::Recorded(InvocationState::Succeeded));
    Ok(())
}

/// What is unknown is listed in its tenant, and settled by somebody who looked: once.
async fn somebody_settles_what_is_unknown_once(
    store: &dyn InvocationStore,
    here: &Subject,
    there: &Subject,
) -> Result<(), Error> {
    let claim = here.claim("resolve", 1, SHORT)?;
    let fence = granted(store, here, &claim).await?;
    let early = store
        .resolve(&here.ctx, here.tool, &claim.key, &result("{}"), event())
        .await?;
    assert!(!early, "a call under way is not unknown");
    tokio::time::sleep(OVER).await;
    let listed = store.unknown(&here.ctx, 100).await?;
    assert!(listed.iter().any(|call| call.key == claim.key));
    assert!(
        store
            .unknown(&there.ctx, 100)
            .await?
            .iter()
            .all(|call| call.tool != here.tool)
    );

    let seen = result("{\"seen\":true}");
    assert!(
        store
            .resolve(&here.ctx, here.tool, &claim.key, &seen, event())
            .await?
    );
    assert!(
        !store
            .resolve(&here.ctx, here.tool, &claim.key, &seen, event())
            .await?
    );
    assert_eq!(store.claim(&here.ctx, &claim).await?, Claimed::Settled);
    let late = complete(store, here, &claim, fence, result("{}")).await?;
    assert_eq!(late, Completed::Stale, "what somebody settled stays");
    Ok(())
}
