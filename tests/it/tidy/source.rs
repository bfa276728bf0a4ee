//! A Rust file as the rules see it: its text, and the same text with comments and literals blanked out.
//!
//! Blanks have the length of what they stand for, so a position means the same in all three texts.

/// A file of the source tree.
pub(super) struct Source {
    /// From the project's root, with `/`.
    pub(super) path: String,
    /// As it is.
    pub(super) text: String,
    /// Without literals.
    prose: String,
    /// Without comments and literals.
    code: String,
}

/// A `use crate::...`.
pub(super) struct Use {
    /// Where its path begins.
    pub(super) position: usize,
    /// The block that it stands in, by the position of its brace; 0 outside of all.
    pub(super) scope: usize,
    /// Attributes and visibility.
    pub(super) how: String,
    /// The module that it takes names from.
    pub(super) module: String,
    /// Whether it takes names from other modules as well.
    pub(super) names_several_modules: bool,
}

impl Source {
    pub(super) fn new(path: String, text: String) -> Self {
        let mut source = Self { path, prose: String::new(), code: String::new(), text: String::new() };
        let mut rest = text.as_str();
        while let Some((part, behind)) = next_part(rest) {
            let (in_prose, in_code) = match part {
                Part::Code(code) => (code.to_owned(), code.to_owned()),
                Part::Comment(comment) => (comment.to_owned(), blank(comment)),
                Part::Literal(literal) => (blank(literal), blank(literal)),
            };
            source.prose.push_str(&in_prose);
            source.code.push_str(&in_code);
            rest = behind;
        }
        source.text = text;
        source
    }

    /// The top-level module that the file belongs to; none for the crate's root.
    pub(super) fn room(&self) -> Option<&str> {
        let path = self.path.strip_prefix("src/").expect("only files in src have a room");
        let room = path.split('/').next()?;
        let room = room.strip_suffix(".rs").unwrap_or(room);
        (room != "lib").then_some(room)
    }

    /// A finding at `position`, with path and line.
    pub(super) fn finding(&self, position: usize, what: &str) -> String {
        let line = self.text[..position].matches('\n').count() + 1;
        format!("{}:{line}: {what}", self.path)
    }

    /// Where `needle` stands in code, as a word.
    pub(super) fn in_code(&self, needle: &str) -> Vec<usize> {
        words(&self.code, needle)
    }

    /// Where `needle` stands in code or a comment, as a word.
    pub(super) fn in_code_or_comment(&self, needle: &str) -> Vec<usize> {
        words(&self.prose, needle)
    }

    /// Each path that begins with `crate::`, and the name behind it; empty where braces follow.
    pub(super) fn crate_paths(&self) -> Vec<(usize, &str)> {
        // In a macro, `$crate::` counts for the room that defines it, and that room was checked where it has the name.
        let starts = self.in_code("crate::").into_iter().filter(|at| !self.code[..*at].ends_with('$'));
        starts.map(|at| (at, leading_word(&self.code[at + "crate::".len()..]))).collect()
    }

    /// Each `use` of such a path.
    pub(super) fn crate_uses(&self) -> Vec<Use> {
        let starts = self.in_code("crate::").into_iter();
        starts.filter_map(|at| self.crate_use(at)).collect()
    }

    fn crate_use(&self, position: usize) -> Option<Use> {
        let before = self.code[..position].trim_end().strip_suffix("use")?;
        let start = before.rfind([';', '{', '}']).map_or(0, |at| at + 1);
        // As it is written: in the code alone, the features of two attributes would be the same.
        let how = self.text[start..before.len()].trim().to_owned();
        let statement = self.code[position..].split(';').next().unwrap_or_default();
        let path = statement.split_whitespace().collect::<String>();
        let (module, names) = match path.split_once("::{") {
            Some((module, names)) => (module, names),
            None => path.rsplit_once("::")?,
        };
        // `use crate::io;` takes the room as a whole.
        let module = if module == "crate" { &path } else { module };
        let scope = self.open_braces(position).last().copied().unwrap_or(0);
        let names_several_modules = names.contains("::");
        Some(Use { position, scope, how, module: module.to_owned(), names_several_modules })
    }

    /// Public types, and functions that can fail, those of public traits too, with their positions. What a macro names
    /// is documented where the macro is used.
    pub(super) fn items_to_show(&self) -> Vec<(usize, &str)> {
        let mut items = Vec::new();
        for keyword in ["struct", "enum", "trait", "type", "fn"] {
            for at in self.in_code(keyword) {
                let name = leading_word(self.code[at + keyword.len()..].trim_start());
                let is_public = self.is_public(at) || (keyword == "fn" && self.is_in_public_trait(at));
                if !name.is_empty() && is_public && !self.is_in_tests(at) && (keyword != "fn" || self.can_fail(at)) {
                    items.push((at, name));
                }
            }
        }
        items
    }

    /// Whether `pub` stands before the keyword at `position`.
    fn is_public(&self, position: usize) -> bool {
        let before = self.code[..position].rsplit([';', '{', '}', ']']).next().unwrap_or_default();
        before.split_whitespace().any(|word| word == "pub")
    }

    fn is_in_public_trait(&self, position: usize) -> bool {
        let Some(brace) = self.open_braces(position).pop() else { return false };
        let head = self.code[..brace].rsplit([';', '}', ']']).next().unwrap_or_default();
        head.trim_start().starts_with("pub trait ")
    }

    fn is_in_tests(&self, position: usize) -> bool {
        self.open_braces(position).into_iter().any(|brace| self.code[..brace].trim_end().ends_with("mod tests"))
    }

    /// Whether the function at `position` answers a `Result`.
    fn can_fail(&self, position: usize) -> bool {
        let rest = &self.code[position..];
        let end = rest.find('{').into_iter().chain(rest.find(";\n")).min().unwrap_or(rest.len());
        rest[..end].rsplit_once("->").is_some_and(|(_, answer)| !words(answer, "Result").is_empty())
    }

    /// Whether the documentation of the item at `position` has an example that runs and asserts something.
    pub(super) fn has_example(&self, position: usize) -> bool {
        let above = self.text[..position].rsplit_once('\n').map_or("", |(above, _)| above);
        let belongs = |line: &&str| {
            !line.is_empty() && (line.starts_with("///") || line.starts_with("#[") || !line.ends_with([';', '{', '}']))
        };
        let lines: Vec<&str> = above.lines().rev().map(str::trim).take_while(belongs).collect();
        lines.iter().any(|line| line.contains("assert")) && lines.iter().filter(|line| **line == "/// ```").count() > 1
    }

    /// Where a chain of `super::` leads out of every module of the file.
    pub(super) fn climbs_to_the_root(&self) -> Vec<usize> {
        let chains = self.in_code("super::").into_iter().filter(|at| !self.code[..*at].ends_with("::"));
        let steps = |at: usize| {
            let mut rest = &self.code[at..];
            std::iter::from_fn(|| rest.strip_prefix("super::").inspect(|behind| rest = behind)).count()
        };
        chains.filter(|at| steps(*at) >= self.module_depth(*at)).collect()
    }

    /// How many modules the code at `position` is in, the crate's root not counted.
    fn module_depth(&self, position: usize) -> usize {
        let folders = self.path.matches('/').count() - 1; // `src` is none
        let own = usize::from(!self.path.ends_with("/mod.rs"));
        let is_module = |brace: &&usize| {
            let mut before = self.code[..**brace].split_whitespace().rev();
            before.next().is_some() && before.next() == Some("mod")
        };
        folders + own + self.open_braces(position).iter().filter(is_module).count()
    }

    /// The braces that are open at `position`, outermost first.
    fn open_braces(&self, position: usize) -> Vec<usize> {
        let mut open = Vec::new();
        for (at, letter) in self.code[..position].char_indices() {
            match letter {
                '{' => open.push(at),
                '}' => drop(open.pop()),
                _ => {}
            }
        }
        open
    }

    /// The modules that the file declares and does not hold, with their positions.
    pub(super) fn declared_modules(&self) -> Vec<(usize, &str)> {
        let declared = self.in_code("mod").into_iter().filter_map(|at| {
            let name = leading_word(self.code[at + "mod".len()..].trim_start());
            let behind = self.code[at..].trim_start_matches("mod").trim_start().strip_prefix(name)?;
            behind.starts_with(';').then_some((at, name))
        });
        declared.collect()
    }
}

enum Part<'a> {
    Code(&'a str),
    Comment(&'a str),
    /// Of a string, byte string or character.
    Literal(&'a str),
}

/// Splits the next part off `text`: a comment, a literal, a word, or one other character.
fn next_part(text: &str) -> Option<(Part<'_>, &str)> {
    let first = text.chars().next()?;
    if let Some(len) = comment_len(text) {
        return Some((Part::Comment(&text[..len]), &text[len..]));
    }
    if let Some(len) = literal_len(text) {
        return Some((Part::Literal(&text[..len]), &text[len..]));
    }
    let len = leading_word(text).len().max(first.len_utf8());
    Some((Part::Code(&text[..len]), &text[len..]))
}

fn comment_len(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut len = text.starts_with("/*").then_some(2)?;
    let mut depth = 1;
    while depth > 0 {
        let rest = &text[len..];
        let step = rest.find(['/', '*']).unwrap_or(rest.len());
        len += step;
        match text.get(len..len + 2) {
            Some("/*") => (depth, len) = (depth + 1, len + 2),
            Some("*/") => (depth, len) = (depth - 1, len + 2),
            Some(_) => len += 1,
            None => return Some(text.len()),
        }
    }
    Some(len)
}

fn literal_len(text: &str) -> Option<usize> {
    let prefix = text.find(|letter| !matches!(letter, 'b' | 'c' | 'r')).filter(|len| *len <= 2)?;
    let is_raw = text[..prefix].ends_with('r');
    let body = &text[prefix..];
    let hashes = body.len() - body.trim_start_matches('#').len();
    if is_raw && body[hashes..].starts_with('"') {
        let open = prefix + hashes + 1;
        let close = format!("\"{}", "#".repeat(hashes));
        return Some(text[open..].find(&close).map_or(text.len(), |len| open + len + close.len()));
    }
    if body.starts_with('"') {
        return Some(prefix + quoted_len(body, '"'));
    }
    // A quote is a character if it closes behind one; else it begins a lifetime.
    let is_char = body.starts_with("'\\") || (body.starts_with('\'') && body.chars().nth(2) == Some('\''));
    is_char.then(|| prefix + quoted_len(body, '\''))
}

/// The length of `text` up to and with the quote that closes the one it begins with.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if letter == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Spaces, as many as `text` has bytes; lines stay lines.
fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

fn leading_word(text: &str) -> &str {
    let end = text.find(|letter| !is_word_letter(letter)).unwrap_or(text.len());
    &text[..end]
}

/// Where `needle` stands in `text`, not as a part of a longer word.
fn words(text: &str, needle: &str) -> Vec<usize> {
    let goes_on_before = |at: usize| needle.starts_with(is_word_letter) && text[..at].ends_with(is_word_letter);
    let goes_on_behind = |at: usize| needle.ends_with(is_word_letter) && text[at..].starts_with(is_word_letter);
    let stands_alone = |at: &usize| !goes_on_before(*at) && !goes_on_behind(at + needle.len());
    text.match_indices(needle).map(|(at, _)| at).filter(stands_alone).collect()
}

fn is_word_letter(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
