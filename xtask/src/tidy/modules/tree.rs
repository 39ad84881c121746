//! The modules of a crate, read from its files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{Attribute, Expr, Item, ItemUse, Lit, Meta, UseTree, Visibility};

use super::code::without_tests;
use super::mentions::{Mention, mentions, mentions_in_definition};

/// The number of a module in its tree.
pub(in super::super) type Id = usize;

/// The modules of a crate, the root first.
pub(in super::super) struct Tree {
    pub(super) modules: Vec<Module>,
}

pub(super) struct Module {
    pub(super) file: PathBuf,
    pub(super) parent: Option<Id>,
    pub(super) name: String,
    /// The module inside of which this one can be named.
    pub(super) visible_in: Id,
    pub(super) entries: HashMap<String, Vec<Entry>>,
    /// The paths of `use path::*`.
    pub(super) globs: Vec<Vec<String>>,
    pub(super) uses: Vec<Use>,
    pub(super) mentions: Vec<Mention>,
    /// A macro is called where items are, so the module may have names that its source does not show.
    pub(super) makes_names: bool,
}

/// The meaning of a name in a module.
pub(super) enum Entry {
    Module(Id),
    /// A type or trait, which may have members.
    Type,
    /// A function, constant or static.
    Value,
    Macro,
    /// A macro of another module that `#[macro_export]` puts at the root.
    ExportedMacro(Id),
    /// The path that a `use` declaration names.
    Import(Vec<String>),
}

/// One name of a `use` declaration.
#[derive(Debug, Clone)]
pub(in super::super) struct Use {
    pub(in super::super) path: Vec<String>,
    pub(in super::super) line: usize,
    /// The declaration has a visibility, such as `pub` or `pub(crate)`.
    pub(in super::super) is_reexport: bool,
    pub(in super::super) is_glob: bool,
}

impl Tree {
    /// Reads the crate that begins with the file `root`; `read` returns the text of a file.
    pub(in super::super) fn read(root: &Path, read: &dyn Fn(&Path) -> Result<String>) -> Result<Self> {
        let mut reader = Reader { tree: Self { modules: Vec::new() }, read };
        let folder = root.parent().unwrap_or(root).to_owned();
        let id = reader.tree.add(root.to_owned(), None, "crate", 0);
        reader.file(id, &folder)?;
        Ok(reader.tree)
    }

    pub(in super::super) fn ids(&self) -> impl Iterator<Item = Id> {
        0..self.modules.len()
    }

    pub(in super::super) fn file(&self, id: Id) -> &Path {
        &self.modules[id].file
    }

    pub(in super::super) fn uses(&self, id: Id) -> &[Use] {
        &self.modules[id].uses
    }

    fn add(&mut self, file: PathBuf, parent: Option<Id>, name: &str, visible_in: Id) -> Id {
        self.modules.push(Module {
            file,
            parent,
            name: name.to_owned(),
            visible_in,
            entries: HashMap::new(),
            globs: Vec::new(),
            uses: Vec::new(),
            mentions: Vec::new(),
            makes_names: false,
        });
        self.modules.len() - 1
    }

    fn define(&mut self, id: Id, name: &Ident, entry: Entry) {
        self.modules[id].entries.entry(name.to_string()).or_default().push(entry);
    }
}

struct Reader<'r> {
    tree: Tree,
    read: &'r dyn Fn(&Path) -> Result<String>,
}

impl Reader<'_> {
    /// Reads the file of a module whose child modules are in `folder`.
    fn file(&mut self, id: Id, folder: &Path) -> Result<()> {
        let file = self.tree.modules[id].file.clone();
        let items = without_tests(&(self.read)(&file)?)
            .with_context(|| format!("cannot parse {}", file.display()))?;
        self.items(id, folder, items)
    }

    fn items(&mut self, id: Id, folder: &Path, items: Vec<Item>) -> Result<()> {
        for item in items {
            match item {
                Item::Mod(module) => {
                    let visible_in = self.visible_in(id, &module.vis);
                    let name = module.ident.to_string();
                    let file = match &module.content {
                        Some(_) => self.tree.modules[id].file.clone(),
                        None => self.file_of(id, folder, &name, &module.attrs),
                    };
                    let folder = match file.file_name().is_some_and(|name| name == "mod.rs") {
                        true if module.content.is_none() => file.parent().unwrap_or(folder).to_owned(),
                        _ => folder.join(&name),
                    };
                    let child = self.tree.add(file, Some(id), &name, visible_in);
                    self.tree.define(id, &module.ident, Entry::Module(child));
                    match module.content {
                        Some((_, items)) => self.items(child, &folder, items)?,
                        None => self.file(child, &folder)?,
                    }
                }
                Item::Use(declaration) => self.declare(id, &declaration),
                Item::Macro(item) => match &item.ident {
                    Some(name) => {
                        self.tree.define(id, name, Entry::Macro);
                        if item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export")) {
                            if id != 0 {
                                self.tree.define(0, name, Entry::ExportedMacro(id));
                            }
                        } else {
                            let found = mentions_in_definition(item.mac.tokens.clone());
                            self.tree.modules[id].mentions.extend(found);
                        }
                    }
                    None => {
                        self.tree.modules[id].makes_names = true;
                        self.code(id, item.into_token_stream());
                    }
                },
                other => {
                    if let Some((name, entry)) = definition(&other) {
                        self.tree.define(id, name, entry);
                    }
                    self.code(id, other.into_token_stream());
                }
            }
        }
        Ok(())
    }

    fn code(&mut self, id: Id, tokens: TokenStream) {
        let (found, uses) = mentions(tokens);
        self.tree.modules[id].mentions.extend(found);
        uses.iter().for_each(|declaration| self.declare(id, declaration));
    }

    fn declare(&mut self, id: Id, declaration: &ItemUse) {
        // A path from outside the crate.
        if declaration.leading_colon.is_some() {
            return;
        }
        let is_reexport = !matches!(declaration.vis, Visibility::Inherited);
        self.names(id, &declaration.tree, &mut Vec::new(), is_reexport);
    }

    fn names(&mut self, id: Id, tree: &UseTree, path: &mut Vec<String>, is_reexport: bool) {
        let mut keep = |path: Vec<String>, line, as_name: Option<&Ident>| {
            let is_glob = as_name.is_none();
            match as_name {
                Some(name) => self.tree.define(id, name, Entry::Import(path.clone())),
                None => self.tree.modules[id].globs.push(path.clone()),
            }
            self.tree.modules[id].uses.push(Use { path, line, is_reexport, is_glob });
        };
        let joined = |path: &[String], name: &Ident| match name == "self" && !path.is_empty() {
            true => path.to_owned(),
            false => path.iter().cloned().chain([name.to_string()]).collect(),
        };
        match tree {
            UseTree::Name(leaf) => {
                let full = joined(path, &leaf.ident);
                let name = Ident::new(full.last().map_or("self", String::as_str), leaf.ident.span());
                keep(full, leaf.ident.span().start().line, Some(&name));
            }
            UseTree::Rename(leaf) => {
                keep(joined(path, &leaf.ident), leaf.ident.span().start().line, Some(&leaf.rename));
            }
            UseTree::Glob(leaf) => keep(path.clone(), leaf.star_token.spans[0].start().line, None),
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.names(id, &step.tree, path, is_reexport);
                path.pop();
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.names(id, tree, path, is_reexport));
            }
        }
    }

    /// The file of `mod name;`.
    fn file_of(&self, id: Id, folder: &Path, name: &str, attributes: &[Attribute]) -> PathBuf {
        let beside = self.tree.modules[id].file.parent().unwrap_or(folder);
        if let Some(path) = attributes.iter().find_map(given_path) {
            return beside.join(path);
        }
        let file = folder.join(format!("{name}.rs"));
        match (self.read)(&file) {
            Ok(_) => file,
            Err(_) => folder.join(name).join("mod.rs"),
        }
    }

    /// The module that a visibility of an item in the module `id` names.
    fn visible_in(&self, id: Id, visibility: &Visibility) -> Id {
        let parent = |id: Id| self.tree.modules[id].parent.unwrap_or_default();
        match visibility {
            Visibility::Inherited => id,
            Visibility::Public(_) => 0,
            Visibility::Restricted(restricted) => restricted.path.segments.iter().fold(id, |at, segment| {
                match segment.ident.to_string().as_str() {
                    "super" => parent(at),
                    "self" => at,
                    _ => 0,
                }
            }),
        }
    }
}

/// The path of `#[path = ".."]`.
fn given_path(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        Expr::Lit(literal) if pair.path.is_ident("path") => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

fn definition(item: &Item) -> Option<(&Ident, Entry)> {
    match item {
        Item::Const(item) => Some((&item.ident, Entry::Value)),
        Item::Enum(item) => Some((&item.ident, Entry::Type)),
        Item::Fn(item) => Some((&item.sig.ident, Entry::Value)),
        Item::Static(item) => Some((&item.ident, Entry::Value)),
        Item::Struct(item) => Some((&item.ident, Entry::Type)),
        Item::Trait(item) => Some((&item.ident, Entry::Type)),
        Item::TraitAlias(item) => Some((&item.ident, Entry::Type)),
        Item::Type(item) => Some((&item.ident, Entry::Type)),
        Item::Union(item) => Some((&item.ident, Entry::Type)),
        _ => None,
    }
}
