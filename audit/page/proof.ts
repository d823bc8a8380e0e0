import type { PageFacts } from './page.ts';
import { code, lines } from './parts.ts';
import { type Html, visibleHtml } from '../../encoding/html.ts';
import type { AuditReport } from '../report/report.ts';

/** The limits of the proof, and how to check the rest without our code. */

export const notProved: Html = visibleHtml`<ul>
<li><strong>That the provider released the money.</strong> The books say what it told us. Only its own statement says what it did.</li>
<li><strong>That a callback was signed.</strong> Its signature was verified when it came, and only then was the callback kept. A signature of this provider covers no body, so it could not prove the amounts later; what was kept is covered by hashes from then on.</li>
<li><strong>That nobody wrote both chains anew.</strong> Who can write to the whole database can also compute new hashes. The heads on the first page of earlier reports, kept elsewhere, show it.</li>
<li><strong>That the people are who their keys say.</strong> A decision names the personal key it was made with.</li>
<li><strong>What is outside its scope.</strong> The first line of the report says what was audited.</li>
</ul>`;

const CHAIN_SQL = `select n, encode(hash, 'hex') from ledger.block order by n desc limit 1;
select * from ledger.audit();
select n, encode(hash, 'hex') from engine.archive order by n desc limit 1;
select * from engine.verify_archive();`;

export const howToCheck = (
  { heads }: AuditReport,
  { jsonFile, signedBy, fingerprint }: PageFacts,
): Html => visibleHtml`<p>The signature stands in ${code(jsonFile)} and covers that file. The file holds the sha256 of this page, so one signature covers both.</p>
<p>The key’s fingerprint (the sha256 of its public part, as SPKI in DER) is<br>${code(fingerprint)}<br>and its first 16 digits are its name, ${code(signedBy.keyId)}. ${
  signedBy.isMachineOwn
    ? visibleHtml`<strong>It is the own key of the machine that audited.</strong> Whoever had that machine could have made this report; ask its operator for the fingerprint.`
    : 'Compare it with the fingerprint that its owner gave you on another way.'
}</p>
<h3>With our program</h3>
<pre tabindex="0" aria-label="Command"><code>AUDIT_PUBLIC_KEY=… npm run audit -- verify ${jsonFile}</code></pre>
<h3>With jq and OpenSSL alone</h3>
<pre tabindex="0" aria-label="Commands"><code>${lines(shellCommands(jsonFile))}</code></pre>
<p>The first line has to say that the signature is verified, the next two have to show the same hash, and the last the fingerprint above. What is signed is the JSON without ${code('signature')}, its keys sorted and without white space (RFC 8785), in UTF-8.</p>
<h3>The chains, with SQL alone</h3>
<pre tabindex="0" aria-label="SQL"><code>${lines(CHAIN_SQL)}</code></pre>
<p>The two numbers and hashes are those on the first page, or the chain has grown since${heads.ledger === null ? '' : visibleHtml`: then ${code(`where n = ${heads.ledger.n}`)} finds the block`}. Every figure of the audit has to be 0. The hash of a block is sha256 of the hash before it, its number and its time as 8 bytes each, and the sha256 of its postings’ lines; the hash of an archive row is sha256 of the hash before it and the row’s line.</p>`;

/** Commands for a shell, which print whether each check holds. */
export const shellCommands = (jsonFile: string): string => `R=${jsonFile}
jq -cSj 'del(.signature)' "$R" > signed.txt
jq -r .signature.publicKey "$R" | base64 -d > key.der
jq -r .signature.value "$R" | base64 -d > signature.bin
openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in signed.txt -sigfile signature.bin
jq -r .html.sha256 "$R"
sha256sum "$(jq -r .html.file "$R")"
sha256sum key.der`;
