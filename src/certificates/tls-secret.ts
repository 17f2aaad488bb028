import { createPrivateKey, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { Fields } from '../api/fields.ts'
import type { NamespacedName } from '../api/metadata.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import type { ServingCertificate } from './self-made.ts'
import { backdate } from './validity.ts'

/** A serving certificate as a Secret holds it, read and found usable. */
export type TLSSecret = ServingCertificate & { leaf: X509Certificate; cas: readonly X509Certificate[] }

/** That a Secret cannot be used, and why. */
export class UnusableSecret extends Error {
  override readonly name = 'UnusableSecret'
}

/** The certificates in a text of PEM, the leaf first; what cannot be read as one is left out. */
export const certificatesIn = (pem: string): X509Certificate[] =>
  [...pem.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].flatMap(([text]) => {
    try {
      return [new X509Certificate(text)]
    } catch {
      return []
    }
  })

export const isAmong = (certificate: X509Certificate, others: readonly X509Certificate[]): boolean =>
  others.some(({ fingerprint256 }) => fingerprint256 === certificate.fingerprint256)

/** Whether it signed the other. Go asks for no more than the name and the signature (crypto/x509 Certificate.Verify, buildChains). */
const signed = (ca: X509Certificate, other: X509Certificate): boolean =>
  ca.subject === other.issuer && other.verify(ca.publicKey)

/** Whether one of the CAs certifies it, by others of its chain or at once. */
const isCertified = (leaf: X509Certificate, chain: readonly X509Certificate[], cas: readonly X509Certificate[]) => {
  /** It, and as it grows whatever signed one of these. */
  const path = [leaf]
  for (const certificate of path)
    path.push(...chain.filter((next) => !path.includes(next) && signed(next, certificate)))
  return path.some((certificate) => isAmong(certificate, cas) || cas.some((ca) => signed(ca, certificate)))
}

/** Whether the name is one of its alternative names: the API server reads no others. */
const isFor = (leaf: X509Certificate, name: string): boolean =>
  (isIP(name) ? leaf.checkIP(name) : leaf.checkHost(name, { subject: 'never' })) !== undefined

export const isValid = ({ validFromDate, validToDate }: X509Certificate, now: Date): boolean =>
  validFromDate <= now && now < validToDate

const read = (secret: unknown, names: readonly string[]): TLSSecret | string => {
  if (secret === undefined) return 'there is none'
  const data = new Fields(secret).object('data')
  const [ca, cert, key] = ['ca.crt', 'tls.crt', 'tls.key'].map((name) =>
    Buffer.from(data.string(name) ?? '', 'base64').toString(),
  ) as [string, string, string]
  const cas = certificatesIn(ca)
  if (cas.length === 0) return 'ca.crt has no certificate in PEM'
  const [leaf, ...chain] = certificatesIn(cert)
  if (leaf === undefined) return 'tls.crt has no certificate in PEM'
  try {
    if (!leaf.checkPrivateKey(createPrivateKey(key))) return 'tls.key is not the key of tls.crt'
  } catch {
    return 'tls.key has no private key in PEM'
  }
  const other = names.find((name) => !isFor(leaf, name))
  if (other !== undefined) return `tls.crt is not for ${other}`
  if (!isCertified(leaf, chain, cas)) return 'nothing in ca.crt signed tls.crt'
  return { ca, cert, key, cas, leaf }
}

/**
 * Reads a v1 Secret, as the API server has it, with the keys that cert-manager writes too: `ca.crt`, `tls.crt` and `tls.key`. Throws
 * UnusableSecret, also where there is no Secret, and where no API server would trust us by this name: whoever renews a certificate may
 * err, or write one key after the other, and what is served is good until then.
 */
export const readTLSSecret = (secret: unknown, name: string): TLSSecret => {
  const found = read(secret, [name])
  if (typeof found === 'string')
    throw new UnusableSecret(`the Secret with the serving certificate cannot be used: ${found}`)
  return found
}

/** Why a Secret of ours needs a new certificate for these names; undefined as long as it does not: two thirds of its life. */
export const whyIssue = (secret: unknown, names: readonly string[], now: Date): string | undefined => {
  const found = read(secret, names)
  if (typeof found === 'string') return found
  const { leaf } = found
  const [from, to] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()]
  const made = from + backdate
  if (now.getTime() < from) return 'it is not valid yet'
  if (now.getTime() >= made + ((to - made) * 2) / 3) return 'two thirds of its life are over'
  return undefined
}

/** Writes a certificate into a Secret, as it was read, or into a new one. Throws ApiError: status 409 where it was changed meanwhile. */
export const storeCertificate = (
  client: Pick<KubernetesClient, 'create' | 'mergePatch'>,
  name: NamespacedName,
  present: unknown,
  { ca, cert, key }: ServingCertificate,
  signal: AbortSignal,
): Promise<unknown> => {
  const encode = (text: string) => Buffer.from(text).toString('base64')
  const data = { 'ca.crt': encode(ca), 'tls.crt': encode(cert), 'tls.key': encode(key) }
  if (present === undefined) {
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: name, data }
    return client.create('Secret', secret, { dryRun: false }, signal)
  }
  const resourceVersion = new Fields(present).object('metadata').raw('resourceVersion')
  return client.mergePatch('Secret', name, { metadata: { resourceVersion }, data }, signal)
}
