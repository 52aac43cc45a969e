//! Actions from methods and routes.

use http::Method;

/// `http.post`
pub(super) fn by_method(method: &Method) -> String {
    format!("http.{}", word(method))
}

/// `templates.send.post` for `POST /templates/{id}/send`; `http.post` where no route is known.
pub(super) fn by_route(method: &Method, template: Option<&str>) -> String {
    let segments = template.unwrap_or_default().split('/');
    let mut action = String::new();
    for segment in segments.filter(|segment| !segment.is_empty() && !segment.starts_with('{')) {
        let part: String = segment.chars().map(plain).collect();
        let part = part.trim_start_matches(|c: char| !c.is_ascii_lowercase());
        // Room for the method, within what an action may have.
        if !part.is_empty() && action.len() + part.len() < 115 {
            action.push_str(part);
            action.push('.');
        }
    }
    if action.is_empty() {
        return by_method(method);
    }
    action + word(method)
}

fn plain(c: char) -> char {
    if c.is_ascii_alphanumeric() {
        c.to_ascii_lowercase()
    } else {
        '_'
    }
}

fn word(method: &Method) -> &'static str {
    match *method {
        Method::DELETE => "delete",
        Method::PATCH => "patch",
        Method::POST => "post",
        Method::PUT => "put",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use tenancy_core::ActionKey;

    use super::*;

    #[test]
    fn every_route_gives_an_action() {
        let long = format!("/{}", "long/".repeat(60));
        for (template, action) in [
            ("/templates/{id}/send", "templates.send.post"),
            ("/api/v1/Kb-Docs", "api.v1.kb_docs.post"),
            ("/{tenant}/{*rest}", "http.post"),
            ("/", "http.post"),
            ("/9/é", "http.post"),
        ] {
            assert_eq!(
                by_route(&Method::POST, Some(template)),
                action,
                "{template}"
            );
        }
        for template in [Some(long.as_str()), Some("/a..b/%20/x"), None] {
            let action = by_route(&Method::DELETE, template);
            assert!(ActionKey::parse(action.clone()).is_ok(), "{action}");
        }
        let custom = Method::from_bytes(b"PURGE").unwrap();
        assert_eq!(by_method(&custom), "http.other");
    }
}
