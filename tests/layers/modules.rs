//! The modules of a crate and what each of them names of others, read from its source.
//!
//! Code that is compiled for tests only (`#[cfg(test)]`) is left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Token, split};

/// A path from the root of the crate: `["process", "live"]`.
pub(crate) type Path = Vec<String>;

/// One module.
#[derive(Debug, Default)]
struct Module {
    children: BTreeSet<String>,
    /// What `use` brings in: the name it has here, and where it comes from.
    names: BTreeMap<String, Path>,
    /// What `use x::*` takes everything from.
    globs: Vec<Path>,
    /// Items that are defined here.
    items: BTreeSet<String>,
    /// Every path that is written here and begins in this crate.
    paths: BTreeSet<Path>,
}

/// All modules of a crate.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    modules: BTreeMap<Path, Module>,
}

/// One module names something of another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    /// The module that names it.
    pub(crate) from: Path,
    /// The module in which it is defined.
    pub(crate) to: Path,
}

impl Crate {
    /// Reads a crate from `lib.rs` on. `file` gives the text of a file by its path below `src`.
    pub(crate) fn read(file: &dyn Fn(&str) -> Option<String>) -> Crate {
        let mut all = Crate::default();
        let text = file("lib.rs").expect("there is no lib.rs");
        all.read_module(&Vec::new(), "", &text, file);
        all
    }

    /// All imports between modules neither of which is inside the other one.
    pub(crate) fn imports(&self) -> BTreeSet<Import> {
        let mut all = BTreeSet::new();
        for (from, module) in &self.modules {
            for path in module.paths.iter().chain(module.names.values()).chain(&module.globs) {
                let to = self.definer(path);
                if !from.starts_with(&to) && !to.starts_with(from) {
                    all.insert(Import { from: from.clone(), to });
                }
            }
        }
        all
    }

    /// The names of the modules at the root.
    pub(crate) fn rooms(&self) -> BTreeSet<String> {
        self.modules[&Vec::new()].children.clone()
    }

    fn read_module(&mut self, at: &Path, folder: &str, text: &str, file: &dyn Fn(&str) -> Option<String>) {
        let tokens = split(text);
        let mut reader = Reader { tokens: &tokens, next: 0, at: at.clone(), found: BTreeMap::new() };
        reader.items();
        assert_eq!(reader.next, tokens.len(), "{folder} has a brace too many");
        let mut files = Vec::new();
        for (path, found) in reader.found {
            files.extend(found.files.iter().map(|name| (path.clone(), name.clone())));
            self.modules.insert(path.clone(), found.finish(&path));
        }
        for (parent, name) in files {
            let below: String = parent[at.len()..].iter().map(|inline| format!("{inline}/")).collect();
            let (plain, own) = (format!("{folder}{below}{name}.rs"), format!("{folder}{below}{name}/"));
            let text = file(&plain).or_else(|| file(&format!("{own}mod.rs")));
            let text = text.unwrap_or_else(|| panic!("there is neither {plain} nor {own}mod.rs"));
            let child: Path = parent.iter().cloned().chain([name]).collect();
            self.read_module(&child, &own, &text, file);
        }
    }

    /// The module in which what `path` names is defined. Names that a module only passes on are followed.
    fn definer(&self, path: &Path) -> Path {
        self.follow(path.clone(), 32)
    }

    fn follow(&self, path: Path, more: usize) -> Path {
        let mut at = Path::new();
        for (i, name) in path.iter().enumerate() {
            let module = &self.modules[&at];
            if module.children.contains(name) {
                at.push(name.clone());
                continue;
            }
            let glob = || module.globs.iter().find(|glob| self.defines(glob, name));
            let source = module.names.get(name).cloned().or_else(|| {
                (!module.items.contains(name))
                    .then(glob)?
                    .map(|glob| [glob.as_slice(), std::slice::from_ref(name)].concat())
            });
            return match source {
                Some(source) if more > 0 => self.follow([&source, &path[i + 1..]].concat(), more - 1),
                _ => at,
            };
        }
        at
    }

    fn defines(&self, module: &Path, name: &str) -> bool {
        self.modules.get(module).is_some_and(|module| {
            module.items.contains(name) || module.names.contains_key(name) || module.children.contains(name)
        }) || self
            .modules
            .get(module)
            .is_some_and(|module| module.globs.iter().any(|glob| self.defines(glob, name)))
    }
}

/// What stands in one module, with its paths as they are written.
#[derive(Default)]
struct Written {
    children: BTreeSet<String>,
    /// The children that have files of their own.
    files: Vec<String>,
    items: BTreeSet<String>,
    names: BTreeMap<String, Path>,
    globs: Vec<Path>,
    paths: BTreeSet<Path>,
}

impl Written {
    fn finish(self, at: &Path) -> Module {
        let absolute = |path: &Path| self.absolute(at, path);
        Module {
            names: self
                .names
                .iter()
                .filter_map(|(name, path)| Some((name.clone(), absolute(path)?)))
                .collect(),
            globs: self.globs.iter().filter_map(absolute).collect(),
            paths: self.paths.iter().filter_map(absolute).collect(),
            children: self.children,
            items: self.items,
        }
    }

    /// The path from the root, where it begins in this crate. `None` is another crate, a type or a variable.
    fn absolute(&self, at: &Path, path: &[String]) -> Option<Path> {
        let first = path.first()?;
        let (mut at, mut rest) = match first.as_str() {
            "crate" => (Path::new(), &path[1..]),
            "self" | "super" => (at.clone(), path),
            name if self.children.contains(name) => (at.clone(), path),
            name => {
                let source = self.names.get(name).filter(|source| source.first() != Some(first))?;
                (self.absolute(at, source)?, &path[1..])
            }
        };
        while let Some(word @ ("self" | "super")) = rest.first().map(String::as_str) {
            if word == "super" {
                at.pop()?;
            }
            rest = &rest[1..];
        }
        at.extend_from_slice(rest);
        Some(at)
    }
}

/// Reads the items of one file.
struct Reader<'a> {
    tokens: &'a [Token],
    next: usize,
    at: Path,
    /// The module of the file and those inside of it that have no files of their own.
    found: BTreeMap<Path, Written>,
}

const DEFINES: [&str; 9] =
    ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];

impl Reader<'_> {
    fn here(&mut self) -> &mut Written {
        self.found.entry(self.at.clone()).or_default()
    }

    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.next + ahead)
    }

    fn is(&self, ahead: usize, text: &str) -> bool {
        self.token(ahead).is_some_and(|token| token.is(text))
    }

    fn word(&self, ahead: usize) -> Option<String> {
        self.token(ahead).and_then(Token::word).map(str::to_owned)
    }

    /// Reads up to the brace that ends the module, or the end of the file.
    fn items(&mut self) {
        self.here();
        let mut depth = 0;
        while let Some(token) = self.token(0) {
            if self.starts_with(&["#", "[", "cfg", "(", "test", ")", "]"]) {
                self.skip_item();
            } else if token.is("use") {
                self.next += 1;
                self.use_tree(&[]);
            } else if depth == 0 && token.is("mod") {
                self.module();
            } else if token.word().is_some() && self.is(1, "::") && !self.is_inside_path() {
                self.path();
            } else {
                match token {
                    Token::Mark("{") => depth += 1,
                    Token::Mark("}") if depth == 0 => return,
                    Token::Mark("}") => depth -= 1,
                    token if depth == 0 && DEFINES.iter().any(|word| token.is(word)) => {
                        let name = self.word(1 + usize::from(self.is(1, "!")));
                        self.here().items.extend(name);
                    }
                    _ => {}
                }
                self.next += 1;
            }
        }
    }

    fn starts_with(&self, texts: &[&str]) -> bool {
        texts.iter().enumerate().all(|(i, text)| self.is(i, text))
    }

    /// Skips an attribute and the item behind it.
    fn skip_item(&mut self) {
        let mut depth = 0;
        while let Some(token) = self.token(0) {
            let (opens, closes) = (token.is("{"), token.is("}"));
            let ends = token.is(";");
            self.next += 1;
            depth += i32::from(opens) - i32::from(closes);
            if depth == 0 && (ends || closes) {
                return;
            }
        }
    }

    fn module(&mut self) {
        let Some(name) = self.word(1) else { return self.next += 1 };
        self.here().children.insert(name.clone());
        if self.is(2, "{") {
            self.next += 3;
            self.at.push(name);
            self.items();
            self.at.pop();
        } else {
            self.here().files.push(name);
            self.next += 2;
        }
        self.next += 1;
    }

    /// Is this a later part of a path, or the `in` of a visibility?
    fn is_inside_path(&self) -> bool {
        let before = self.next.checked_sub(1).and_then(|at| self.tokens.get(at));
        before.is_some_and(|token| {
            token.is("::") || token.is("in") && self.is(0, "crate") && self.is_visibility()
        })
    }

    fn is_visibility(&self) -> bool {
        self.next.checked_sub(3).is_some_and(|at| self.tokens[at].is("pub"))
    }

    fn path(&mut self) {
        let mut segments: Path = self.word(0).into_iter().collect();
        self.next += 1;
        while self.is(0, "::") && self.token(1).is_some_and(|token| token.word().is_some()) {
            segments.extend(self.word(1));
            self.next += 2;
        }
        self.here().paths.insert(segments);
    }

    /// Reads one branch of a `use`, and the mark behind it.
    fn use_tree(&mut self, before: &[String]) {
        let mut segments = before.to_vec();
        loop {
            if self.is(0, "{") {
                self.next += 1;
                while !self.is(0, "}") {
                    self.use_tree(&segments);
                    self.next += usize::from(self.is(0, ","));
                }
                self.next += 1;
                return;
            } else if self.is(0, "*") {
                self.next += 1;
                self.here().globs.push(segments);
                return;
            } else if let Some(word) = self.word(0) {
                self.next += 1;
                if word != "self" || segments.is_empty() {
                    segments.push(word);
                }
            }
            if !self.is(0, "::") {
                break;
            }
            self.next += 1;
        }
        let mut name = segments.last().cloned().unwrap_or_default();
        if self.is(0, "as") {
            name = self.word(1).unwrap_or_default();
            self.next += 2;
        }
        self.here().names.insert(name, segments);
    }
}
