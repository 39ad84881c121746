//! The rule that the changelog is kept.

use anyhow::Result;

use super::repository::Repository;

pub(super) fn changelog_is_kept(repository: &Repository) -> Result<Vec<String>> {
    let text = repository.text(&repository.root.join("CHANGELOG.md"))?;
    let finding = "CHANGELOG.md: has no section; begin one with ## [Unreleased]";
    Ok((!has_section(&text)).then(|| finding.to_owned()).into_iter().collect())
}

fn has_section(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("## "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_needs_a_section() {
        assert!(has_section("# Changelog\n\n## [Unreleased]\n"));
        assert!(!has_section("# Changelog\n\nNothing yet.\n"));
    }
}
