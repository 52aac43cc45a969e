//! Reading a log of many months: planning a statement costs a share for each one that it may read.

use tenancy_core::{TenantCtx, TenantDb, TenantTx, TxOptions};
use uuid::Uuid;

use crate::{Error, Order};

/// How much of the log a page is looked for at first: two months' partitions or three.
const NEAR: u128 = (40 * 24 * 60 * 60 * 1_000) << 80;

/// Opens a read of the log. None of a month's many CHECKs contradicts what is looked for, and planning would ask each.
pub(super) async fn read(db: &TenantDb, ctx: &TenantCtx) -> Result<TenantTx, Error> {
    let options = TxOptions::default().without_constraint_exclusion();
    Ok(db.read_with(ctx, &options).await?)
}

/// These ids, in one range or two, in the order in which a search reads them: most pages end near the place where
/// they begin.
pub(super) fn near_first((from, to): (Uuid, Uuid), order: Order) -> Vec<(Uuid, Uuid)> {
    let between = match order {
        Order::NewestFirst => to.as_u128().saturating_sub(NEAR),
        // Nothing is known of where the log begins.
        Order::OldestFirst if from.is_nil() => to.as_u128(),
        Order::OldestFirst => from.as_u128().saturating_add(NEAR),
    };
    let between = Uuid::from_u128(between);
    if between <= from || between >= to {
        return vec![(from, to)];
    }
    match order {
        Order::NewestFirst => vec![(between, to), (from, between)],
        Order::OldestFirst => vec![(from, between), (between, to)],
    }
}

/// Whether these ids are of a few months.
pub(super) fn is_near((from, to): (Uuid, Uuid)) -> bool {
    to.as_u128().saturating_sub(from.as_u128()) <= NEAR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(days: u128) -> Uuid {
        Uuid::from_u128(days * NEAR / 40)
    }

    #[test]
    fn the_parts_are_the_whole_in_the_order_of_the_search() {
        for (ids, order, parts) in [
            ((0, 100), Order::NewestFirst, vec![(60, 100), (0, 60)]),
            ((60, 100), Order::NewestFirst, vec![(60, 100)]),
            ((59, 100), Order::NewestFirst, vec![(60, 100), (59, 60)]),
            ((0, 30), Order::NewestFirst, vec![(0, 30)]),
            ((0, 100), Order::OldestFirst, vec![(0, 100)]),
            ((1, 100), Order::OldestFirst, vec![(1, 41), (41, 100)]),
            ((60, 100), Order::OldestFirst, vec![(60, 100)]),
            // Nothing lies between them.
            ((90, 10), Order::NewestFirst, vec![(90, 10)]),
            ((90, 10), Order::OldestFirst, vec![(90, 10)]),
        ] {
            let ids = (id(ids.0), id(ids.1));
            let parts: Vec<_> = parts.iter().map(|part| (id(part.0), id(part.1))).collect();
            assert_eq!(near_first(ids, order), parts, "{ids:?} {order:?}");
        }
        let last = (Uuid::from_u128(u128::MAX - 1), Uuid::max());
        assert_eq!(near_first(last, Order::OldestFirst), [last]);
    }
}
