//! Which routes a router of axum has.

use axum::{
    Router,
    routing::{any, get},
};
use http::Method;

use super::debug::Shown;

/// How axum names what matches every path that no route does.
const FALLBACK_TAIL: &str = "/{*__private__axum_fallback}";
const NEST_TAIL: &str = "{*__private__axum_nest_tail_param}";
/// The fields of a method router, and the request that reaches each.
pub(super) const METHODS: [(&str, Method); 9] = [
    ("get", Method::GET),
    ("head", Method::HEAD),
    ("delete", Method::DELETE),
    ("options", Method::OPTIONS),
    ("patch", Method::PATCH),
    ("post", Method::POST),
    ("put", Method::PUT),
    ("trace", Method::TRACE),
    ("connect", Method::CONNECT),
];

/// Something of a router that answers requests.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Handler {
    pub(super) path: String,
    pub(super) answers: Answers,
}

impl Handler {
    /// Whether it answers all that is below this prefix.
    pub(super) fn is_below(&self, prefix: &str) -> bool {
        let above = self.path.strip_suffix(NEST_TAIL);
        above.and_then(|it| it.strip_suffix('/')) == Some(prefix)
    }
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Answers {
    /// Requests of one method, by its name.
    Method(String),
    /// Requests of all methods that have no handler of their own.
    OtherMethods,
    /// A service, whatever it does inside.
    Service,
}

/// Every handler of the router, those of merged and nested routers and of fallbacks included;
/// `None` if this version of axum prints its routers in another way.
pub(super) fn handlers<S>(router: &Router<S>) -> Option<Vec<Handler>> {
    let shown = Shown::parse(&format!("{router:?}"))?;
    let mut handlers = of_path_router(shown.field("path_router")?, |_| true)?;
    let is_default = shown.field("default_fallback")?.name() == "true";
    let is_custom = |path: &str| !is_default || !(path == "/" || path == FALLBACK_TAIL);
    handlers.extend(of_path_router(shown.field("fallback_router")?, is_custom)?);
    handlers.sort();
    Some(handlers)
}

fn of_path_router(shown: &Shown, counts: impl Fn(&str) -> bool) -> Option<Vec<Handler>> {
    let paths = shown.field("node")?.field("paths")?.entries()?;
    let mut handlers = Vec::new();
    for (id, endpoint) in shown.field("routes")?.entries()? {
        let path = paths.iter().find(|(of, _)| of == id)?.1.text()?;
        if counts(path) {
            of_endpoint(path, endpoint, &mut handlers)?;
        }
    }
    Some(handlers)
}

fn of_endpoint(path: &str, endpoint: &Shown, into: &mut Vec<Handler>) -> Option<()> {
    let mut push = |answers| {
        let path = path.to_owned();
        into.push(Handler { path, answers });
    };
    match endpoint.name() {
        "Route" => push(Answers::Service),
        "MethodRouter" => {
            let methods = endpoint.field("0")?;
            for (field, method) in METHODS {
                match methods.field(field)?.name() {
                    "None" => {}
                    "BoxedHandler" | "Route" => push(Answers::Method(method.to_string())),
                    _ => return None,
                }
            }
            match methods.field("fallback")?.name() {
                "Default" => {}
                "BoxedHandler" | "Service" => push(Answers::OtherMethods),
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

/// Whether a router of which everything is known is read as it is. The check refuses to run where
/// it is not: it would find nothing to complain about.
pub(super) fn is_understood() -> bool {
    let inner = Router::<()>::new()
        .route("/inner", get(nothing))
        .fallback(nothing);
    let router = Router::new()
        .route("/a/{id}", get(nothing).post(nothing))
        .route("/any", any(nothing))
        .route_service("/service", get(nothing))
        .nest_service("/files", get(nothing))
        .nest("/nested", inner)
        .merge(Router::new().route("/merged", get(nothing).fallback(nothing)));
    let found = handlers(&router).unwrap_or_default();
    let method = |method: &Method| Answers::Method(method.to_string());
    let expected = [
        ("/a/{id}", method(&Method::GET)),
        ("/a/{id}", method(&Method::POST)),
        ("/any", Answers::OtherMethods),
        ("/merged", method(&Method::GET)),
        ("/merged", Answers::OtherMethods),
        ("/nested/inner", method(&Method::GET)),
    ];
    let has = |path: &str, answers: &Answers| {
        found
            .iter()
            .any(|handler| handler.path == path && handler.answers == *answers)
    };
    let under = |prefix: &str| found.iter().any(|handler| handler.path.starts_with(prefix));
    let nested_fallback = found
        .iter()
        .any(|handler| handler.path.starts_with("/nested/") && handler.path != "/nested/inner");
    expected.iter().all(|(path, answers)| has(path, answers))
        && under("/service")
        && under("/files")
        && nested_fallback
        && handlers(&Router::<()>::new()).is_some_and(|none| none.is_empty())
        && handlers(&Router::<()>::new().fallback(nothing)).is_some_and(|some| !some.is_empty())
}

async fn nothing() {}

/// How deep a service is asked that does not tell what is inside.
pub(super) const DEEPEST: usize = 6;

/// The paths of a handler, for one text that stands for what is captured. A service that takes all that is
/// below it is asked at every depth, where no other handler takes the path from it.
pub(super) fn paths(handler: &Handler, all: &[Handler], with: &str) -> Vec<String> {
    let mut paths = vec![filled(&handler.path, with)];
    let Some((above, _)) = handler.path.split_once("/{*") else {
        return paths;
    };
    if handler.answers == Answers::Service {
        let above = filled(above, with);
        let below = (1..=DEEPEST).map(|depth| format!("{above}/{}", vec![with; depth].join("/")));
        paths.extend(below.filter(|path| !is_taken(handler, all, path)));
    }
    paths
}

/// Whether another handler is nearer to a path.
fn is_taken(handler: &Handler, all: &[Handler], path: &str) -> bool {
    let mut others = all.iter().filter(|other| other.path != handler.path);
    others.any(|other| {
        let is_nearer = other.path.split('/').count() >= handler.path.split('/').count();
        is_nearer && takes(&other.path, path)
    })
}

fn takes(pattern: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    for wanted in pattern.split('/') {
        if wanted.starts_with("{*") {
            return parts.next().is_some();
        }
        let has = parts.next();
        if has.is_none_or(|has| has != wanted && !wanted.contains('{')) {
            return false;
        }
    }
    parts.next().is_none()
}

/// A path with the parts that are captured filled in; a part that takes the rest becomes two.
pub(super) fn filled(pattern: &str, with: &str) -> String {
    let parts = pattern.split('/').map(|part| {
        if part == NEST_TAIL || FALLBACK_TAIL.ends_with(part) && !part.is_empty() {
            return "no-such/path".to_owned();
        }
        match (part.starts_with("{*"), part.find('{')) {
            (true, _) => format!("{with}/{with}"),
            (false, Some(_)) => capture(part, with),
            (false, None) => part.to_owned(),
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// `{id}`, `{id}.json`, `v{version}`; a doubled brace is a brace.
fn capture(part: &str, with: &str) -> String {
    let (mut filled, mut rest) = (String::new(), part);
    while let Some(at) = rest.find('{') {
        let (before, behind) = rest.split_at(at);
        filled.push_str(before);
        if let Some(behind) = behind.strip_prefix("{{") {
            filled.push_str("%7B");
            rest = behind;
            continue;
        }
        filled.push_str(with);
        rest = behind.split_once('}').map_or("", |(_, rest)| rest);
    }
    filled.push_str(rest);
    filled.replace("}}", "%7D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_version_of_axum_is_understood() {
        assert!(is_understood());
    }

    #[test]
    fn a_service_is_asked_at_every_depth_that_is_its_own() {
        let service = |path: &str| Handler {
            path: path.to_owned(),
            answers: Answers::Service,
        };
        let route = Handler {
            answers: Answers::Method("GET".to_owned()),
            ..service("/{id}")
        };
        let nested = service("/n/{*__private__axum_nest_tail_param}");
        let fallback = service(FALLBACK_TAIL);
        let all = [nested.clone(), fallback.clone(), route.clone()];
        let of_nested = paths(&nested, &all, "7");
        assert_eq!(
            of_nested[..4],
            ["/n/no-such/path", "/n/7", "/n/7/7", "/n/7/7/7"]
        );
        assert_eq!(of_nested.len(), DEEPEST + 1);
        // What a route takes is asked there.
        assert_eq!(
            paths(&fallback, &all, "7")[..3],
            ["/no-such/path", "/7/7", "/7/7/7"]
        );
        assert_eq!(paths(&route, &all, "7"), ["/7"]);
        assert_eq!(paths(&service("/s"), &all, "7"), ["/s"]);
    }

    #[test]
    fn captures_are_filled_in() {
        for (pattern, expected) in [
            ("/", "/"),
            ("/a/{id}/b", "/a/7/b"),
            ("/a/v{id}.json", "/a/v7.json"),
            ("/files/{*rest}", "/files/7/7"),
            (
                "/nested/{*__private__axum_nest_tail_param}",
                "/nested/no-such/path",
            ),
            (FALLBACK_TAIL, "/no-such/path"),
            ("/a/{{b}}", "/a/%7Bb%7D"),
        ] {
            assert_eq!(filled(pattern, "7"), expected, "{pattern}");
        }
    }
}
