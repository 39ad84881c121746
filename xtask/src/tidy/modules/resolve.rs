//! From a path in code to the file that defines its name.

use std::collections::HashSet;
use std::path::Path;

use super::tree::{Entry, Id, Tree};

/// The definition that a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Found {
    /// The module that defines the name.
    pub(in super::super) module: Id,
    pub(in super::super) name: String,
    /// The modules whose `use` declarations lead there.
    pub(in super::super) through: Vec<Id>,
}

/// A path in the code of a module, with the definitions that it leads to.
pub(in super::super) struct Resolved {
    pub(in super::super) line: usize,
    /// The path is one name only.
    pub(in super::super) is_single: bool,
    pub(in super::super) found: Vec<Found>,
}

impl Tree {
    /// Resolves a path that the module `from` has in a `use` declaration.
    pub(in super::super) fn resolve(&self, from: Id, path: &[String]) -> Vec<Found> {
        let mut search = Search { tree: self, wants: Wants::Anything, followed: HashSet::new() };
        search.from(from, path).into_iter().filter_map(Target::found).collect()
    }

    /// Resolves the paths in the code of a module, without its `use` declarations.
    pub(in super::super) fn mentions(&self, id: Id) -> impl Iterator<Item = Resolved> {
        self.modules[id].mentions.iter().map(move |mention| {
            let wants = if mention.is_macro { Wants::Macro } else { Wants::Item };
            let mut search = Search { tree: self, wants, followed: HashSet::new() };
            let mut found: Vec<_> =
                search.from(id, &mention.path).into_iter().filter_map(Target::found).collect();
            if let ([name], true, true) = (mention.path.as_slice(), mention.is_macro, found.is_empty()) {
                found.extend(self.textual_macro(id, name));
            }
            Resolved { line: mention.line, is_single: mention.path.len() == 1, found }
        })
    }

    /// The macro that textual order brings into scope.
    fn textual_macro(&self, from: Id, name: &str) -> Option<Found> {
        let defines = |id: &Id| {
            let entries = self.modules[*id].entries.get(name);
            entries.is_some_and(|entries| entries.iter().any(|entry| matches!(entry, Entry::Macro)))
        };
        let module = self
            .ids()
            .filter(|id| self.is_inside(from, *id))
            .find(defines)
            .or_else(|| self.ids().find(defines))?;
        Some(Found { module, name: name.to_owned(), through: Vec::new() })
    }

    /// Returns `true` if `inner` is `outer` or below it.
    pub(in super::super) fn is_inside(&self, inner: Id, outer: Id) -> bool {
        let mut at = Some(inner);
        while let Some(id) = at {
            if id == outer {
                return true;
            }
            at = self.modules[id].parent;
        }
        false
    }

    /// Returns `true` if the code of `from` may name `module`.
    pub(in super::super) fn can_name(&self, from: Id, module: Id) -> bool {
        let mut at = Some(module);
        while let Some(id) = at {
            if id != 0 && !self.is_inside(from, self.modules[id].visible_in) {
                return false;
            }
            at = self.modules[id].parent;
        }
        true
    }

    /// The path of a module, from `crate`.
    pub(in super::super) fn path(&self, id: Id) -> Vec<String> {
        let mut path = self.modules[id].parent.map_or(Vec::new(), |parent| self.path(parent));
        path.push(self.modules[id].name.clone());
        path
    }

    pub(in super::super) fn file_of(&self, found: &Found) -> &Path {
        self.file(found.module)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Anything,
    Item,
    Macro,
}

enum Target {
    Module(Id, Vec<Id>),
    Item(Found),
}

impl Target {
    fn found(self) -> Option<Found> {
        match self {
            Self::Item(found) => Some(found),
            Self::Module(..) => None,
        }
    }

    fn via(self, importer: Id) -> Self {
        match self {
            Self::Module(id, mut through) => {
                through.push(importer);
                Self::Module(id, through)
            }
            Self::Item(mut found) => {
                found.through.push(importer);
                Self::Item(found)
            }
        }
    }
}

struct Search<'t> {
    tree: &'t Tree,
    wants: Wants,
    /// The `use` declarations that are being followed, with the path that is looked up: some lead back to
    /// themselves.
    followed: HashSet<(Id, Vec<String>, Vec<String>)>,
}

impl Search<'_> {
    /// Resolves a path as the code of the module `from` means it.
    fn from(&mut self, from: Id, path: &[String]) -> Vec<Target> {
        let mut at = from;
        let mut rest = path;
        let mut is_explicit = false;
        while let Some((first, after)) = rest.split_first() {
            at = match first.as_str() {
                "crate" => 0,
                "self" => at,
                "super" => match self.tree.modules[at].parent {
                    Some(parent) => parent,
                    None => return Vec::new(),
                },
                _ => break,
            };
            is_explicit = true;
            rest = after;
        }
        self.inside(at, rest, is_explicit)
    }

    /// Resolves a path from a module on. With `is_explicit`, code has named the module, so the name must be
    /// in it.
    fn inside(&mut self, id: Id, path: &[String], is_explicit: bool) -> Vec<Target> {
        let Some((name, rest)) = path.split_first() else { return vec![Target::Module(id, Vec::new())] };
        let mut targets = self.direct(id, name, rest);
        if targets.is_empty() {
            targets = self.by_globs(id, path);
        }
        // A lower-case name before `::` is a module, and macros make none.
        let may_be_made = rest.is_empty() || name.starts_with(char::is_uppercase);
        if targets.is_empty() && is_explicit && may_be_made && self.tree.modules[id].makes_names {
            targets.push(self.item(id, name));
        }
        targets
    }

    fn direct(&mut self, id: Id, name: &str, rest: &[String]) -> Vec<Target> {
        let tree = self.tree;
        let mut modules = Vec::new();
        let mut items = Vec::new();
        for entry in tree.modules[id].entries.get(name).into_iter().flatten() {
            match entry {
                Entry::Module(child) => modules.extend(self.inside(*child, rest, true)),
                Entry::Type if self.wants != Wants::Macro || !rest.is_empty() => {
                    items.push(self.item(id, name));
                }
                Entry::Value if self.wants != Wants::Macro && rest.is_empty() => {
                    items.push(self.item(id, name));
                }
                Entry::Macro if self.wants != Wants::Item && rest.is_empty() => {
                    items.push(self.item(id, name));
                }
                Entry::ExportedMacro(module) if self.wants != Wants::Item && rest.is_empty() => {
                    items.push(self.item(*module, name));
                }
                Entry::Type | Entry::Value | Entry::Macro | Entry::ExportedMacro(_) => {}
                Entry::Import(path) => {
                    let key = (id, path.clone(), vec![name.to_owned()]);
                    if self.followed.insert(key.clone()) {
                        let path: Vec<_> = path.iter().chain(rest).cloned().collect();
                        modules.extend(self.from(id, &path).into_iter().map(|target| target.via(id)));
                        self.followed.remove(&key);
                    }
                }
            }
        }
        // A variant or method is defined where its type is.
        if rest.is_empty() || modules.is_empty() {
            modules.extend(items);
        }
        modules
    }

    fn by_globs(&mut self, id: Id, path: &[String]) -> Vec<Target> {
        let tree = self.tree;
        let mut targets = Vec::new();
        for glob in &tree.modules[id].globs {
            let key = (id, glob.clone(), path.to_owned());
            if !self.followed.insert(key.clone()) {
                continue;
            }
            for target in self.from(id, glob) {
                if let Target::Module(module, _) = target {
                    targets.extend(self.inside(module, path, false).into_iter().map(|target| target.via(id)));
                }
            }
            self.followed.remove(&key);
        }
        targets
    }

    fn item(&self, module: Id, name: &str) -> Target {
        Target::Item(Found { module, name: name.to_owned(), through: Vec::new() })
    }
}
