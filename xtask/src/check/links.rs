//! Links of the documentation: each file and each heading that a page points to is there. What lies
//! on other hosts is not asked for: a check must not depend on them.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use super::Finding;
use crate::workspace;

pub(super) fn check() -> Result<Finding> {
    let Some(files) = workspace::tracked_files()? else {
        return Ok(Ok("not a checkout, nothing to look at".to_owned()));
    };
    let pages = files.iter().filter(|path| path.extension().is_some_and(|end| end == "md"));
    // Parts of generated pages: their links count from the page.
    let pages = pages.filter(|path| !path.starts_with("crates"));
    let (mut count, mut broken) = (0, Vec::new());
    for page in pages.filter(|page| workspace::root().join(page).exists()) {
        for link in links(&workspace::read(page)?) {
            count += 1;
            if let Some(why) = broken_link(page, &link)? {
                broken.push(format!("{}: {link}: {why}", page.display()));
            }
        }
    }
    Ok(if broken.is_empty() { Ok(format!("{count} links")) } else { Err(broken.join("\n")) })
}

fn broken_link(page: &Path, link: &str) -> Result<Option<String>> {
    let (file, heading) = link.split_once('#').map_or((link, None), |(a, b)| (a, Some(b)));
    let path = match file {
        "" => page.to_owned(),
        file => normal(&page.parent().unwrap_or(Path::new("")).join(file)),
    };
    if !workspace::root().join(&path).exists() {
        return Ok(Some(format!("there is no {}", path.display())));
    }
    let Some(heading) = heading else { return Ok(None) };
    let known = anchors(&workspace::read(&path)?).contains(heading);
    Ok((!known).then(|| format!("{} has no such heading", path.display())))
}

/// `docs/../README.md` is `README.md`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        if part == Component::ParentDir {
            path.pop();
        } else {
            path.push(part);
        }
        path
    })
}

/// Lines that are neither in a fenced block nor indented code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Where `[text](target)` leads within this repository.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(page) {
        let outside_code = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        let mut rest = outside_code.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, after)) = after.split_once(')') else { break };
            rest = after;
            if !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// The anchors that code hosts give to a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for heading in prose(page).filter(|line| line.starts_with('#')) {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|sign| sign.is_alphanumeric() || " -_".contains(*sign));
        let anchor: String = kept.map(|sign| if sign == ' ' { '-' } else { sign }).collect();
        // Headings of the same words are numbered.
        let mut name = anchor.clone();
        let mut number = 0;
        while !anchors.insert(name) {
            number += 1;
            name = format!("{anchor}-{number}");
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_prose_alone() {
        let page = "[a](b.md) and ![p](p.png), `[c](d.md)` [e `f` g](h.md#i)\n\
                    ```\n[j](k.md)\n```\n[l](https://m.example/n)";
        assert_eq!(links(page), ["b.md", "p.png", "h.md#i"]);
    }

    #[test]
    fn headings_get_the_anchors_of_code_hosts() {
        let found = anchors("# A `b`: what's up?\n## Two\n## Two\n```\n# no\n```\n");
        let wanted = ["a-b-whats-up", "two", "two-1"].map(str::to_owned);
        assert_eq!(found, BTreeSet::from(wanted));
    }

    #[test]
    fn a_file_or_a_heading_that_is_not_there_is_broken() {
        let why = |link: &str| broken_link(Path::new("docs/testing.md"), link).unwrap();
        assert_eq!(why("../README.md"), None);
        assert_eq!(why("#break-it-on-purpose"), None);
        assert_eq!(why("gone.md").unwrap(), "there is no docs/gone.md");
        assert_eq!(why("../README.md#gone").unwrap(), "README.md has no such heading");
    }
}
