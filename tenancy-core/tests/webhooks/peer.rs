//! The reference library takes what is signed here, and what it signs is taken here.

use serde_json::{Value, json};
use tenancy_core::{WebhookKeys, WebhookMessage, WebhookSecret};
use tenancy_testkit::StandardWebhooks;

use crate::Result;

#[tokio::test]
async fn the_reference_library_and_ours_take_each_others_messages() -> Result {
    let Some(mut peer) = StandardWebhooks::start().await? else {
        return Ok(());
    };
    for body in [
        "{}",
        r#"{"type":"tenant.renamed","data":{"meta":{"to":"Grüße \"🦀\"\\n"}}}"#,
        "",
    ] {
        let (old, new) = (WebhookSecret::generate()?, WebhookSecret::generate()?);
        let texts = [old.to_text(), new.to_text()];
        let keys = WebhookKeys::rotating(vec![new, old])?;
        let now = chrono::Utc::now();
        let signed = keys.sign(&WebhookMessage::new("msg_1", body)?, now);
        for secret in &texts {
            let secret = secret.expose();
            let signed: serde_json::Map<String, Value> = signed
                .clone()
                .headers()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), json!(value)))
                .collect();
            let question = json!({ "secret": secret, "body": body, "headers": signed });
            assert_eq!(peer.ask(&question)?, "verified", "{body}");
            let changed = format!("{body} ");
            let question = json!({ "secret": secret, "body": changed, "headers": signed });
            assert!(peer.ask(&question)?.starts_with("refused"), "{body}");

            let time = now.timestamp().to_string();
            let question = json!({ "secret": secret, "id": "msg_2", "timestamp": now.timestamp(), "body": body });
            let signature = peer.ask(&question)?;
            let header = |name: &str| match name {
                "webhook-id" => Some("msg_2"),
                "webhook-timestamp" => Some(time.as_str()),
                "webhook-signature" => Some(signature.as_str()),
                _ => None,
            };
            keys.verify(header, body.as_bytes())?;
            assert!(keys.verify(header, changed.as_bytes()).is_err());
        }
    }
    Ok(())
}
