//! With which methods a handler is asked.

use http::Method;

use super::{
    Guard,
    listing::{Answers, Handler, METHODS},
};

/// A method that has no handler of its own anywhere.
const ANY: &str = "ANY";

/// Every method that reaches a handler: its own, and those that no other handler of its path takes.
pub(super) fn of(handler: &Handler, all: &[Handler]) -> Vec<Method> {
    let of_path = all.iter().filter(|other| other.path == handler.path);
    let taken: Vec<&str> = of_path
        .filter_map(|other| match &other.answers {
            Answers::Method(name) => Some(name.as_str()),
            Answers::OtherMethods | Answers::Service => None,
        })
        .collect();
    let is_free = |method: &str| !taken.contains(&method);
    let unheard = Method::from_bytes(ANY.as_bytes()).into_iter();
    let known = || METHODS.into_iter().map(|(_, method)| method);
    match &handler.answers {
        // What answers GET answers HEAD.
        Answers::Method(name) if name == "GET" && is_free("HEAD") => {
            vec![Method::GET, Method::HEAD]
        }
        Answers::Method(name) => Method::from_bytes(name.as_bytes()).into_iter().collect(),
        Answers::OtherMethods => unheard
            .chain(known().filter(|method| {
                is_free(method.as_str()) && (*method != Method::HEAD || is_free("GET"))
            }))
            .collect(),
        Answers::Service => unheard.chain(known()).collect(),
    }
}

/// What is told of a handler: one line, if it is guarded alike whatever it is asked with.
pub(super) fn told(handler: &Handler, found: Vec<(Method, Guard, bool)>) -> Vec<(String, Guard)> {
    let is_guessed = !matches!(handler.answers, Answers::Method(_));
    // Where nothing at all is taken, what is behind it is not known.
    let nothing = found.iter().all(|(_, _, is_no_route)| *is_no_route);
    let taken: Vec<_> = found
        .into_iter()
        .filter(|(_, _, is_no_route)| !is_guessed || nothing || !is_no_route)
        .collect();
    let alike = taken.windows(2).all(|two| match two {
        [(_, one, _), (_, other, _)] => one == other,
        _ => true,
    });
    let mut lines = taken
        .into_iter()
        .map(|(method, guard, _)| (method.to_string(), guard));
    match (alike, is_guessed) {
        (false, _) => lines.collect(),
        (true, true) => lines
            .next()
            .map(|(_, guard)| (ANY.to_owned(), guard))
            .into_iter()
            .collect(),
        (true, false) => lines.next().into_iter().collect(),
    }
}
