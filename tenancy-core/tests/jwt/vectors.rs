//! The published examples: their signatures are good, and what they say is no login.

use serde_json::{Value, json};
use tenancy_core::JwtOptions;

use crate::issuer::{AUDIENCE, JWKS, Result, World};

const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// The key, the token, and why it is refused once its signature is found good.
fn examples() -> [(&'static str, Value, String, &'static str); 3] {
    let rsa = json!({"kty": "RSA", "e": "AQAB", "n": concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4",
        "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re",
        "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX",
        "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    )});
    let rsa_signature = concat!(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5",
        "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb",
        "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO",
        "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    let p256 = json!({"kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
    let p256_signature =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let ed25519 = json!({"kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let ed25519_token = concat!(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    let rsa_token = format!("eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}.{rsa_signature}");
    let p256_token = format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.{p256_signature}");
    [
        ("RFC 7515, A.2", rsa, rsa_token, "token_audience"),
        ("RFC 7515, A.3", p256, p256_token, "token_audience"),
        (
            "RFC 8037, A.4",
            ed25519,
            ed25519_token.to_owned(),
            "token_malformed",
        ),
    ]
}

#[tokio::test]
async fn the_signatures_of_the_standards_are_good_and_their_neighbours_are_not() -> Result {
    for (name, key, token, code) in examples() {
        let world = World::new(JwtOptions::new("joe", AUDIENCE).with_jwks_url(JWKS)).await?;
        world.published.raw(&json!({"keys": [key]}).to_string());
        assert_eq!(world.code(&token).await, code, "{name}");

        let (message, signature) = token.rsplit_once('.').unwrap();
        let changed = if signature.starts_with('c') { 'd' } else { 'c' };
        let forged = format!("{message}.{changed}{}", &signature[1..]);
        assert_eq!(world.code(&forged).await, "token_signature", "{name}");
        let shorter = &signature[..signature.len() - 4];
        let forged = format!("{message}.{shorter}");
        assert!(
            ["token_signature", "token_malformed"].contains(&world.code(&forged).await),
            "{name}"
        );
    }
    Ok(())
}
