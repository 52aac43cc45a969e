// Writes the vectors of format v1, from the format's description alone: Node's own HKDF and
// AES-256-GCM, no code of the crate. `node vectors.mjs > ../../vectors/format_v1.json`
import { createCipheriv, hkdfSync } from 'node:crypto';

const hex = (text) => Buffer.from(text.replaceAll('-', ''), 'hex');
const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };
const i64 = (n) => { const b = Buffer.alloc(8); b.writeBigInt64BE(BigInt(n)); return b; };
const canonical = (parts) => Buffer.concat(parts.flatMap((p) => [u32(p.length), p]));

function seal(v) {
  const head = Buffer.from([1, 1]);
  const bound = canonical([
    Buffer.from('tenancy-secrets/record'), head.subarray(0, 1), head.subarray(1), hex(v.tenant),
    Buffer.from(v.provider), hex(v.row), Buffer.from(v.field), i64(v.version), hex(v.key_id),
  ]);
  const okm = Buffer.from(hkdfSync('sha256', hex(v.data_key), hex(v.salt), bound, 76));
  const cipher = createCipheriv('aes-256-gcm', okm.subarray(0, 32), okm.subarray(32, 44));
  cipher.setAAD(bound);
  const text = Buffer.concat([cipher.update(v.plaintext, 'utf8'), cipher.final()]);
  return Buffer.concat([head, hex(v.key_id), hex(v.salt), okm.subarray(44, 76), text, cipher.getAuthTag()]);
}

const base = {
  tenant: '018f0000-0000-7000-8000-000000000001', row: '018f0000-0000-7000-8000-000000000002',
  key_id: '018f0000-0000-7000-8000-000000000003', provider: 'smartlead', field: 'api_key', version: 1,
  data_key: '00'.repeat(31) + '01', salt: '11'.repeat(32), plaintext: 's3cr3t',
};
const vectors = [
  base,
  { ...base, version: 9007199254740991, salt: 'a5'.repeat(32) },
  { ...base, provider: 'google', field: 'refresh_token', plaintext: '1//' + 'r'.repeat(500) },
  { ...base, plaintext: 'pässwörd 🔑', data_key: 'fe'.repeat(32) },
].map((v) => ({ ...v, envelope: seal(v).toString('hex') }));
console.log(JSON.stringify(vectors, null, 2));
