//! What is asked, what came back, and which promises held.

use std::{fmt::Display, io::IsTerminal as _, time::Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Prints the story and keeps its promises for the table at the end.
#[derive(Debug)]
pub(crate) struct Screen {
    colour: bool,
    begun: Instant,
    step: usize,
    title: String,
    promises: Vec<(String, String, bool)>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            colour: std::io::stdout().is_terminal(),
            begun: Instant::now(),
            step: 0,
            title: String::new(),
            promises: Vec::new(),
        }
    }

    /// Begins a step of the story.
    pub(crate) fn step(&mut self, title: &str) {
        self.step += 1;
        title.clone_into(&mut self.title);
        let line = format!("── {} {title} ", self.step);
        println!("\n{}", self.painted("1;36", &format!("{line:─<100}")));
    }

    /// What is asked.
    pub(crate) fn ask(&self, what: impl Display) {
        println!("  {} {what}", self.painted("2", "asked "));
    }

    /// What came back, read from the database or a peer.
    pub(crate) fn got(&self, what: impl Display) {
        println!("  {} {what}", self.painted("2", "got   "));
    }

    /// An answer of many lines, as it is.
    pub(crate) fn block(&self, text: &str) {
        for line in text.lines() {
            println!("         {}", self.painted("2", line));
        }
    }

    /// A promise, and whether it held.
    pub(crate) fn promise(&mut self, what: impl Into<String>, held: bool) {
        let what = what.into();
        let mark = if held {
            self.painted("32", "held  ")
        } else {
            self.painted("1;31", "BROKEN")
        };
        println!("  {mark} {what}");
        self.promises.push((self.title.clone(), what, held));
    }

    /// A bar for work with a known end.
    pub(crate) fn bar(total: u64, unit: &str) -> ProgressBar {
        let template = format!("  work   {{bar:40}} {{pos}}/{{len}} {unit} {{elapsed}}");
        let style = ProgressStyle::with_template(&template);
        let bar = ProgressBar::new(total);
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar
    }

    /// The table at the end; whether every promise held.
    pub(crate) fn summary(&self) -> bool {
        println!("\n{}", self.painted("1", "What was promised, and held"));
        let mut last = "";
        for (title, what, held) in &self.promises {
            let shown = if title == last { "" } else { title };
            let mark = if *held {
                self.painted("32", "yes")
            } else {
                self.painted("1;31", "NO ")
            };
            println!("  {mark}  {shown:<28} {what}");
            last = title;
        }
        let broken = self.promises.iter().filter(|(.., held)| !held).count();
        let took = self.begun.elapsed().as_secs_f64();
        println!(
            "\n{} promises, {broken} broken, {took:.1} s",
            self.promises.len()
        );
        broken == 0 && !self.promises.is_empty()
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
