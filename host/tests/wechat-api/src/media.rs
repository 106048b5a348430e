//! Temporary media: what was uploaded, and the form in which it arrives.

/// One upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What it was given as its media id.
    pub id: String,
    /// `image`, `voice`, `video` or `thumb`.
    pub kind: String,
    /// The name that the caller gave it.
    pub file_name: String,
    /// The type that the caller gave it.
    pub content_type: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// The bytes that each kind may have, as the platform documents it.
pub(crate) fn bound(kind: &str) -> Option<usize> {
    match kind {
        "image" | "video" => Some(10 << 20),
        "voice" => Some(2 << 20),
        "thumb" => Some(64 << 10),
        _ => None,
    }
}

/// A part of a form: its name, file name, content type and bytes.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) file_name: String,
    pub(crate) content_type: String,
    pub(crate) data: Vec<u8>,
}

/// Reads the parts of `multipart/form-data`; none where it is none.
pub(crate) fn parts(content_type: &str, body: &[u8]) -> Option<Vec<Part>> {
    let boundary = content_type.strip_prefix("multipart/form-data;")?.trim().strip_prefix("boundary=")?;
    let boundary = format!("--{}", boundary.trim_matches('"'));
    let mut parts = Vec::new();
    let mut rest = body.strip_prefix(boundary.as_bytes())?;
    loop {
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let head_end = find(rest, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&rest[..head_end]).into_owned();
        rest = &rest[head_end + 4..];
        let end = find(rest, format!("\r\n{boundary}").as_bytes())?;
        let quoted = |name: &str| {
            let at = head.find(&format!("{name}=\""))? + name.len() + 2;
            head[at..].split('"').next().map(str::to_owned)
        };
        let content_type = head.lines().find_map(|line| line.strip_prefix("Content-Type: "));
        parts.push(Part {
            // A file name has `name=` in it as well.
            name: quoted("; name")?,
            file_name: quoted("; filename").unwrap_or_default(),
            content_type: content_type.unwrap_or("application/octet-stream").to_owned(),
            data: rest[..end].to_vec(),
        });
        rest = &rest[end + 2 + boundary.len()..];
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
