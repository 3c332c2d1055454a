//! The commands of a page of the documentation.

/// The fenced blocks of a page: what stands on the fence, and what within.
pub fn fences(page: &str) -> Vec<(String, String)> {
    let mut fences = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            fences.push((info.to_owned(), block.join("\n")));
        }
    }
    fences
}
