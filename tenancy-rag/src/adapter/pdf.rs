use async_trait::async_trait;
use lopdf::{Document, LoadOptions};
use tenancy_core::TenantCtx;

use super::blocking;
use crate::{Error, ErrorKind, Extracted, Extractor, Markup, MediaType, Origins, Upload};

/// The text of a PDF's pages, by `lopdf`. Citations name the page; bytes of the upload would mean
/// nothing to a reader.
///
/// It reads text that is there as text: a scanned page has none, and columns and tables come in
/// the order in which the file draws them. An encrypted file is refused, and so is one of more than
/// 5,000 pages or 64 MiB of text: a small file can draw the same stream on many pages.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PdfExtractor;

/// What the streams of one file may decompress to.
const MAX_DECOMPRESSED: usize = 128 << 20;
/// What the streams of one page may decompress to.
const MAX_PAGE: usize = 16 << 20;
const BOUNDS: Bounds = Bounds {
    pages: 5_000,
    text: 64 << 20,
};

/// How much of a file is read before it is refused.
#[derive(Clone, Copy)]
struct Bounds {
    pages: usize,
    text: usize,
}

impl PdfExtractor {
    /// Reads `application/pdf`.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Extractor for PdfExtractor {
    fn reads(&self, media_type: &MediaType) -> bool {
        media_type.as_str() == "application/pdf"
    }

    async fn extract(&self, _: &TenantCtx, upload: &Upload) -> Result<Extracted, Error> {
        let bytes = upload.bytes.clone();
        blocking(move || read(&bytes, BOUNDS)).await
    }
}

fn read(bytes: &[u8], bounds: Bounds) -> Result<Extracted, Error> {
    let broken = |_| Error::invalid("document_unreadable", "the document can't be read as a PDF");
    let options = LoadOptions {
        max_decompressed_size: Some(MAX_DECOMPRESSED),
        ..LoadOptions::default()
    };
    let document = Document::load_mem_with_options(bytes, options).map_err(broken)?;
    if document.is_encrypted() {
        return Err(Error::invalid(
            "document_encrypted",
            "the document is encrypted",
        ));
    }
    let numbers = document.get_pages();
    if numbers.len() > bounds.pages {
        let message = format!("the document has more than {} pages", bounds.pages);
        return Err(Error::new(ErrorKind::Limit, "pages_too_many", message));
    }
    let (mut text, mut pages) = (String::new(), Vec::new());
    for number in numbers.into_keys() {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        pages.push(text.len());
        // A page that can't be read leaves the others readable.
        let page = document
            .extract_text_with_limit(&[number], MAX_PAGE)
            .unwrap_or_default();
        text.extend(page.trim().chars().filter(|c| *c != '\0'));
        if text.len() > bounds.text {
            let message = format!("the document's text is longer than {} bytes", bounds.text);
            return Err(Error::new(ErrorKind::Limit, "text_too_long", message));
        }
    }
    Ok(Extracted::same(text, Markup::Plain)
        .with_pages(pages)
        .with_origins(Origins::Unknown))
}

#[cfg(test)]
mod tests {
    use lopdf::{
        Object, Stream,
        content::{Content, Operation},
        dictionary,
    };

    use super::*;

    fn pdf(pages: &[&str]) -> Vec<u8> {
        let mut doc = Document::with_version("1.5");
        let tree = doc.new_object_id();
        let font = doc.add_object(dictionary! {
            "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Courier",
        });
        let resources = doc.add_object(dictionary! { "Font" => dictionary! { "F1" => font } });
        let mut kids: Vec<Object> = Vec::new();
        for words in pages {
            let operations = vec![
                Operation::new("BT", vec![]),
                Operation::new("Tf", vec!["F1".into(), 12.into()]),
                Operation::new("Tj", vec![Object::string_literal(*words)]),
                Operation::new("ET", vec![]),
            ];
            let content = Content { operations }.encode().unwrap();
            let stream = doc.add_object(Stream::new(dictionary! {}, content));
            kids.push(
                doc.add_object(dictionary! {
                    "Type" => "Page", "Parent" => tree, "Contents" => stream, "Resources" => resources,
                })
                .into(),
            );
        }
        let count = i64::try_from(kids.len()).unwrap();
        let root = dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => count };
        doc.objects.insert(tree, Object::Dictionary(root));
        let catalog = doc.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
        doc.trailer.set("Root", catalog);
        let mut bytes = Vec::new();
        doc.save_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn each_page_is_found_at_its_place() {
        let read = read(&pdf(&["First page", "Second page"]), BOUNDS).unwrap();
        assert_eq!(read.text, "First page\n\nSecond page");
        assert_eq!(read.pages, [0, 12]);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        let whole = pdf(&["words"]);
        for cut in [0, 1, 20, whole.len() / 2] {
            assert_eq!(
                read(&whole[..cut], BOUNDS).unwrap_err().code(),
                "document_unreadable"
            );
        }
    }

    #[test]
    fn what_is_over_a_bound_is_refused_and_not_cut_off() {
        let three = pdf(&["one", "two", "three"]);
        let code = |pages, text| {
            let read = read(&three, Bounds { pages, text });
            read.map_or_else(|error| error.code(), |_| "read")
        };
        assert_eq!(code(3, 100), "read");
        assert_eq!(code(2, 100), "pages_too_many");
        assert_eq!(code(3, 8), "text_too_long");
    }
}
