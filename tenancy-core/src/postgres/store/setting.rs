use async_trait::async_trait;
use serde_json::Value;
use sqlx::types::Json;

use super::PgStore;
use crate::{Error, ErrorKind, SettingChange, SettingKey, SettingStore, TenantTx};

#[async_trait]
impl SettingStore for PgStore {
    async fn values_in(
        &self,
        tx: &mut TenantTx,
        keys: &[SettingKey],
    ) -> Result<Vec<Option<Value>>, Error> {
        let tenant = tx.ctx().tenant();
        let rows: Vec<(i64, Value)> = sqlx::query_as(include_str!("../sql/settings_of.sql"))
            .bind(tenant)
            .bind(texts(keys))
            .fetch_all(&mut **tx)
            .await?;
        Ok(in_places(rows, keys.len()))
    }

    async fn limits_in(
        &self,
        tx: &mut TenantTx,
        keys: &[SettingKey],
    ) -> Result<Vec<Option<i64>>, Error> {
        let tenant = tx.ctx().tenant();
        let rows: Vec<(i64, i64)> = sqlx::query_as(include_str!("../sql/limits_of.sql"))
            .bind(tenant)
            .bind(texts(keys))
            .fetch_all(&mut **tx)
            .await?;
        Ok(in_places(rows, keys.len()))
    }

    async fn set_value_in(&self, tx: &mut TenantTx, change: &SettingChange) -> Result<(), Error> {
        let answer: String =
            sqlx::query_scalar("SELECT tenancy.set_tenant_setting($1, $2, $3, $4)")
                .bind(change.key.as_str())
                .bind(change.value.as_ref().map(Json))
                .bind(change.expected.as_ref().map(Json))
                .bind(Json(&change.default))
                .fetch_one(&mut **tx)
                .await?;
        said(&answer, &change.key)
    }

    async fn set_limit_in(
        &self,
        tx: &mut TenantTx,
        key: &SettingKey,
        value: Option<i64>,
    ) -> Result<(), Error> {
        let answer: String = sqlx::query_scalar("SELECT tenancy.set_tenant_limit($1, $2)")
            .bind(key.as_str())
            .bind(value)
            .fetch_one(&mut **tx)
            .await?;
        said(&answer, key)
    }
}

fn texts(keys: &[SettingKey]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

/// Puts rows at their places, which count from 1.
fn in_places<T>(rows: Vec<(i64, T)>, count: usize) -> Vec<Option<T>> {
    let mut values: Vec<Option<T>> = std::iter::repeat_with(|| None).take(count).collect();
    for (place, value) in rows {
        let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
        if let Some(slot) = values.get_mut(place) {
            *slot = Some(value);
        }
    }
    values
}

fn said(answer: &str, key: &SettingKey) -> Result<(), Error> {
    match answer {
        "ok" => Ok(()),
        "stale" => {
            let message = format!("`{key}` has another value by now");
            Err(Error::new(ErrorKind::Conflict, "stale", message))
        }
        "not_platform" => Err(Error::new(
            ErrorKind::Denied,
            "limit_not_yours",
            "a tenant does not set its own limits",
        )),
        _ => Err(Error::not_a_member()),
    }
}
