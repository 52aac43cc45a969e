//! Changes of a log's file at random, and what a verifier has to say of each.

use serde_json::{Value, json};

use crate::proof_files::{Dice, Files, of_kind};
use tenancy_audit::{Fault, Finding, ProofReport};

/// Every kind of change, by name.
pub(crate) const KINDS: [&str; 26] = [
    "a removal gone",
    "a seal and its entries gone",
    "a seal twice",
    "an adoption gone",
    "an entry put in later",
    "an erased detail put back",
    "an erasure that is none",
    "another tenant's header",
    "another tenant's removal",
    "another tenant's seal",
    "delete",
    "edit",
    "edit of a removal",
    "edit of a seal",
    "edit of an adoption",
    "edit of the end",
    "edit of the head",
    "entry said to be unreadable",
    "insert",
    "reorder",
    "seals in another order",
    "swap between tenants",
    "tail and removals gone from the database",
    "tail gone from the database",
    "the end before the end",
    "truncate",
];

/// Changes one value somewhere below; false if there is none.
fn disturb(dice: &mut Dice, value: &mut Value) -> bool {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let key = map.keys().nth(dice.roll(map.len())).unwrap().clone();
            disturb(dice, &mut map[&key])
        }
        Value::Array(items) if !items.is_empty() => {
            let at = dice.roll(items.len());
            disturb(dice, &mut items[at])
        }
        Value::String(text) => {
            let at = dice.roll(text.len() + 1);
            // A digit, a letter, or one more of them: never another spelling of the same.
            match text.get(at..=at).and_then(|c| c.chars().next()) {
                Some(c) if c.is_ascii_alphanumeric() => {
                    let other = if c == '7' { "8" } else { "7" };
                    text.replace_range(at..=at, other);
                }
                _ => text.push('7'),
            }
            true
        }
        Value::Number(number) => {
            *value = match number.as_i64() {
                Some(whole) => json!(whole + 7),
                None => json!(number.as_f64().unwrap_or(0.0).trunc() + 7.0),
            };
            true
        }
        Value::Bool(flag) => {
            *flag = !*flag;
            true
        }
        Value::Null => {
            *value = json!("7");
            true
        }
        Value::Object(_) | Value::Array(_) => false,
    }
}

/// Where a mutation may show.
#[derive(Debug)]
enum Where {
    /// On this line, counted from zero.
    Line(usize),
    /// Of this entry.
    Entry(String),
    /// In this seal.
    Seal(u64),
    /// By this seal's absence, and no other's.
    SealGone(u64),
    /// By the file's end before this seal, which the anchor knows as the newest.
    Ahead(u64),
    /// Of one of the entries in these places, which were removed.
    Removed(Vec<(u64, u64)>),
}

impl Where {
    fn shows(&self, finding: &Finding) -> bool {
        match self {
            // The line of what is missing says only where that was noticed, and some lines are the anchor's.
            Self::Line(line) => {
                let elsewhere = [
                    Fault::AnchorForged,
                    Fault::AnchorForked,
                    Fault::EntryMissing,
                ];
                finding.line == *line as u64 + 1 && !elsewhere.contains(&finding.fault)
            }
            Self::Entry(id) => finding.entry.is_some_and(|entry| entry.to_string() == *id),
            Self::Seal(number) => finding.seal == Some(*number),
            Self::SealGone(number) => finding.fault == Fault::SealsMissing(*number, *number),
            Self::Ahead(number) => finding.fault == Fault::AnchorAhead(*number),
            Self::Removed(ranges) => {
                let holds = |place| {
                    ranges
                        .iter()
                        .any(|(first, last)| (*first..=*last).contains(&place))
                };
                finding.fault == Fault::EntryMissing
                    && finding.entry.is_some()
                    && finding.place.is_some_and(holds)
            }
        }
    }
}

/// What was done, and what has to be said of it.
#[derive(Debug)]
pub(crate) struct Mutation {
    pub(crate) kind: &'static str,
    /// It is found at one of these.
    shows: Vec<Where>,
    /// If there are some, nothing but these and those it shows at is accused.
    beside: Option<Vec<Where>>,
    /// So many findings, where that is known.
    findings: Option<u64>,
}

impl Mutation {
    fn new(kind: &'static str, shows: impl Into<Vec<Where>>) -> Self {
        Self {
            kind,
            shows: shows.into(),
            beside: None,
            findings: None,
        }
    }

    /// What else may be named; anything but that is innocent.
    fn beside(mut self, places: impl IntoIterator<Item = Where>) -> Self {
        self.beside = Some(places.into_iter().collect());
        self
    }

    /// Whatever is named else is innocent.
    fn alone(self) -> Self {
        self.beside([])
    }

    fn findings(mut self, count: u64) -> Self {
        self.findings = Some(count);
        self
    }

    /// What is wrong with what a verifier says of it.
    pub(crate) fn judge(&self, report: &ProofReport) -> Result<(), &'static str> {
        let (found, shown) = (&report.findings, |finding: &Finding| {
            self.shows.iter().any(|place| place.shows(finding))
        });
        if report.is_intact() {
            return Err("was not found");
        }
        if !found.iter().any(shown) {
            return Err("was not located");
        }
        if let Some(beside) = &self.beside {
            let named = |finding| shown(finding) || beside.iter().any(|place| place.shows(finding));
            if !found.iter().all(named) {
                return Err("accuses an innocent");
            }
        }
        if self.findings.is_some_and(|count| count != report.found) {
            return Err("has another number of findings");
        }
        Ok(())
    }
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

fn id_of(entry: &str) -> String {
    let id = parsed(entry)["entry"]["record"]["id"].take();
    id.as_str().unwrap().to_owned()
}

fn number_of(seal: &str) -> u64 {
    parsed(seal)["seal"]["seal"]["number"].as_u64().unwrap()
}

/// The head that a seal's line implies.
fn head_of(line: &str) -> Value {
    let seal = parsed(line)["seal"]["seal"].take();
    let seal: tenancy_audit::Seal = serde_json::from_value(seal).unwrap();
    serde_json::to_value(seal.head()).unwrap()
}

/// The places that removals name.
fn ranges_of(lines: &[String], removals: &[usize]) -> Vec<(u64, u64)> {
    let ranges = removals.iter().map(|removal| {
        let ranges = parsed(&lines[*removal])["removal"]["ranges"].take();
        serde_json::from_value::<Vec<(u64, u64)>>(ranges).unwrap()
    });
    ranges.flatten().collect()
}

fn tenant_of(lines: &[String]) -> String {
    let tenant = parsed(&lines[0])["header"]["tenant_id"].take();
    tenant.as_str().unwrap().to_owned()
}

/// Changes one value of a line.
fn edit(dice: &mut Dice, line: &mut String, kind: &str) -> bool {
    let mut value = parsed(line);
    let done = disturb(dice, &mut value[kind]);
    *line = value.to_string();
    done
}

/// Changes the lines; `None` if there was nothing to change.
pub(crate) fn mutate(dice: &mut Dice, files: &Files, lines: &mut Vec<String>) -> Option<Mutation> {
    // As many as they have arms: each kind is drawn often enough that a run without one is rarer than a fault.
    match dice.roll(33) {
        0..=13 => mutate_entries(dice, files, lines),
        14..=21 => mutate_seals(dice, files, lines),
        _ => mutate_frame(dice, files, lines),
    }
}

/// A change of the entries' lines.
fn mutate_entries(dice: &mut Dice, files: &Files, lines: &mut Vec<String>) -> Option<Mutation> {
    let entries = of_kind(lines, "entry");
    let at = dice.pick(&entries);
    let id = id_of(&lines[at]);
    Some(match dice.roll(14) {
        0..=5 => {
            if !edit(dice, &mut lines[at], "entry") {
                return None;
            }
            Mutation::new("edit", [Where::Line(at), Where::Entry(id)]).alone()
        }
        6 => {
            lines.remove(at);
            let gone = Mutation::new("delete", [Where::Entry(id)]);
            gone.alone().findings(1)
        }
        7 => insert(dice, lines, at),
        8 | 9 => {
            let other = dice.pick(&entries);
            if at == other {
                return None;
            }
            reorder(lines, at.min(other), at.max(other))
        }
        10 => {
            let theirs = dice.pick(&of_kind(&files.theirs, "entry"));
            lines[at].clone_from(&files.theirs[theirs]);
            if dice.roll(2) == 0 {
                lines[at] = lines[at].replace(&tenant_of(&files.theirs), &tenant_of(&files.ours));
            }
            // The one that came, and the one that went.
            Mutation::new("swap between tenants", [Where::Line(at)])
                .beside([Where::Entry(id)])
                .findings(2)
        }
        11 | 12 => return erasures(dice, files, lines, at),
        _ => {
            lines[at] = json!({ "damaged": { "id": id, "parts": ["meta"] } }).to_string();
            let unreadable = Mutation::new("entry said to be unreadable", [Where::Line(at)]);
            unreadable.alone().findings(1)
        }
    })
}

/// Beside the operator's erasure one of the details that it names is there again; or it stands there twice, or a list
/// of none where nothing was erased.
fn erasures(dice: &mut Dice, files: &Files, lines: &mut [String], at: usize) -> Option<Mutation> {
    let (id, details) = files.erased.as_ref()?;
    let erased = lines.iter().position(|line| line.contains(id.as_str()))?;
    let [back, twice] = [2, 2].map(|below| dice.roll(below) == 0);
    let at = if back || twice { erased } else { at };
    let mut line = parsed(&lines[at]);
    let personal = &mut line["entry"]["record"]["personal"];
    if back {
        let (name, value) = details.iter().nth(dice.roll(details.len()))?;
        personal[name] = value.clone();
    } else if let Some(list) = personal["*erased"].as_array_mut() {
        list.extend_from_within(..);
    } else {
        personal["*erased"] = json!([]);
    }
    lines[at] = line.to_string();
    let kind = ["an erasure that is none", "an erased detail put back"][usize::from(back)];
    Some(Mutation::new(kind, [Where::Line(at)]).alone().findings(1))
}

/// Whether no seal begins from one line to the other.
fn in_one_seal(lines: &[String], from: usize, to: usize) -> bool {
    of_kind(&lines[from..=to], "seal").is_empty()
}

/// A copy of an entry comes behind another one, as it is or with an id of its own.
fn insert(dice: &mut Dice, lines: &mut Vec<String>, at: usize) -> Mutation {
    let place = dice.pick(&of_kind(lines, "entry")) + 1;
    if dice.roll(2) == 0 {
        let other = uuid::Uuid::now_v7().to_string();
        let copy = lines[at].replace(&id_of(&lines[at]), &other);
        lines.insert(place, copy);
    } else {
        let early = place <= at && in_one_seal(lines, place, at);
        lines.insert(place, lines[at].clone());
        if early {
            // The copy is taken for the entry, which then comes twice, and has overtaken the lines between.
            let between = (place + 1..=at).map(Where::Line);
            return Mutation::new("insert", [Where::Line(at + 1)]).beside(between);
        }
    }
    let added = Mutation::new("insert", [Where::Line(place)]);
    added.alone().findings(1)
}

fn reorder(lines: &mut [String], first: usize, last: usize) -> Mutation {
    let [one, other] = [first, last].map(|at| Where::Entry(id_of(&lines[at])));
    let together = in_one_seal(lines, first, last);
    lines.swap(first, last);
    if together {
        // The later one is taken for one in order, which has overtaken all lines to its own.
        let between = (first + 1..last).map(Where::Line);
        return Mutation::new("reorder", [Where::Line(last)]).beside(between);
    }
    // Each is added in the other's seal, and missing in its own.
    Mutation::new("reorder", [first, last].map(Where::Line))
        .beside([one, other])
        .findings(4)
}

/// A change of the seals' lines.
fn mutate_seals(dice: &mut Dice, files: &Files, lines: &mut Vec<String>) -> Option<Mutation> {
    let (entries, seals) = (of_kind(lines, "entry"), of_kind(lines, "seal"));
    let newest = number_of(&lines[*seals.last()?]);
    let behind = *entries.last()? + 1;
    let seal = dice.pick(&seals);
    let number = number_of(&lines[seal]);
    let next = seals.iter().copied().find(|at| *at > seal);
    let next = next.unwrap_or(behind);
    Some(match dice.roll(8) {
        0 | 1 => {
            edit(dice, &mut lines[seal], "seal");
            Mutation::new("edit of a seal", [Where::Line(seal)])
        }
        2 => {
            lines.drain(seal..next);
            // Of the newest one the anchor knows, too.
            let kind = "a seal and its entries gone";
            Mutation::new(kind, [Where::SealGone(number)]).beside([Where::Ahead(newest)])
        }
        3 => {
            let other = dice.pick(&seals);
            if seal == other {
                return None;
            }
            lines.swap(seal, other);
            Mutation::new("seals in another order", [seal, other].map(Where::Line))
        }
        4 => {
            let place = dice.pick(&entries) + 1;
            lines.insert(place, lines[seal].clone());
            Mutation::new("a seal twice", [Where::Line(place), Where::Seal(number)])
        }
        5 => {
            let theirs = dice.pick(&of_kind(&files.theirs, "seal"));
            lines[seal].clone_from(&files.theirs[theirs]);
            // What stands below it is in no seal of ours then.
            let below = (seal + 1..next).map(Where::Line);
            let gone = [Where::SealGone(number), Where::Ahead(newest)];
            Mutation::new("another tenant's seal", [Where::Line(seal)]).beside(below.chain(gone))
        }
        tail => {
            // Everything behind a seal is gone, and the first line and the last say so.
            let removed = ranges_of(lines, &of_kind(lines, "removal"));
            let cut = 1 + dice.roll(seals.len() - 1);
            let mut header = parsed(&lines[0]);
            header["header"]["head"] = head_of(&lines[seals[cut - 1]]);
            lines[0] = header.to_string();
            lines.pop();
            lines.drain(seals[cut]..behind);
            if tail == 6 {
                lines.retain(|line| !line.starts_with("{\"removal\":"));
            }
            let count = of_kind(lines, "entry").len();
            lines.push(json!({ "end": { "seals": cut, "entries": count } }).to_string());
            if tail == 6 {
                let kind = "tail and removals gone from the database";
                Mutation::new(kind, [Where::Ahead(newest)]).beside([Where::Removed(removed)])
            } else {
                let kind = "tail gone from the database";
                let gone = Mutation::new(kind, [Where::Ahead(newest)]);
                gone.alone().findings(1)
            }
        }
    })
}

/// A change of what stands around the seals and their entries.
fn mutate_frame(dice: &mut Dice, files: &Files, lines: &mut Vec<String>) -> Option<Mutation> {
    let end = lines.len() - 1;
    Some(match dice.roll(11) {
        0 => {
            let left = 1 + dice.roll(lines.len() - 1);
            lines.truncate(left);
            Mutation::new("truncate", [Where::Line(left)])
        }
        1 => {
            let mut header = parsed(&lines[0]);
            disturb(dice, &mut header["header"]["head"]);
            lines[0] = header.to_string();
            // It may name more seals than there are, which shows at the end.
            Mutation::new("edit of the head", [Where::Line(0)]).beside([Where::Line(end + 1)])
        }
        2 => {
            lines[0] = lines[0].replace(&tenant_of(&files.ours), &tenant_of(&files.theirs));
            Mutation::new("another tenant's header", [Where::Line(0)]).alone()
        }
        3 => {
            edit(dice, &mut lines[end], "end");
            // One that can't be read is none, which shows behind it.
            Mutation::new("edit of the end", [Where::Line(end)]).beside([Where::Line(end + 1)])
        }
        4 => {
            let place = 1 + dice.roll(end - 1);
            let last = lines.remove(end);
            lines.insert(place, last);
            Mutation::new("the end before the end", [Where::Line(place + 1)])
        }
        5..=7 => return Some(mutate_removals(dice, files, lines)),
        8 | 9 => return mutate_adoptions(dice, lines),
        _ => {
            let place = of_kind(lines, "removal")[0];
            let unsealed = json!({ "unsealed": { "id": uuid::Uuid::now_v7(), "transaction": 1 } });
            lines.insert(place, unsealed.to_string());
            let late = Mutation::new("an entry put in later", [Where::Line(place)]);
            late.alone().findings(1)
        }
    })
}

fn mutate_removals(dice: &mut Dice, files: &Files, lines: &mut Vec<String>) -> Mutation {
    let removal = dice.pick(&of_kind(lines, "removal"));
    let ranges = ranges_of(lines, &[removal]);
    match dice.roll(3) {
        0 => {
            edit(dice, &mut lines[removal], "removal");
            let kind = "edit of a removal";
            Mutation::new(kind, [Where::Line(removal)]).beside([Where::Removed(ranges)])
        }
        1 => {
            lines.remove(removal);
            // Each of those that it named is missing now.
            let all = ranges.iter().map(|(first, last)| last - first + 1).sum();
            let gone = Mutation::new("a removal gone", [Where::Removed(ranges)]);
            gone.alone().findings(all)
        }
        _ => {
            let theirs = dice.pick(&of_kind(&files.theirs, "removal"));
            lines.insert(removal, files.theirs[theirs].clone());
            let foreign = Mutation::new("another tenant's removal", [Where::Line(removal)]);
            foreign.alone().findings(1)
        }
    }
}

fn mutate_adoptions(dice: &mut Dice, lines: &mut Vec<String>) -> Option<Mutation> {
    let adoption = dice.pick(&of_kind(lines, "adoption"));
    let lost = parsed(&lines[adoption])["adoption"]["lost"][0]["number"].as_u64()?;
    // What it said that is lost the anchor knows again.
    Some(if dice.roll(2) == 0 {
        edit(dice, &mut lines[adoption], "adoption");
        let kind = "edit of an adoption";
        Mutation::new(kind, [Where::Line(adoption)]).beside([Where::Seal(lost)])
    } else {
        lines.remove(adoption);
        Mutation::new("an adoption gone", [Where::Seal(lost)]).alone()
    })
}
