import 'reflect-metadata'
import { X509Certificate as NodeCertificate, type webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import t from 'tap'
import { readTLSSecret, UnusableSecret } from '../../src/certificates/tls-secret.ts'
import { secretOf } from '../support/registration.ts'

const name = 'webhook.meshvip.svc'

const algorithms = {
  ECDSA: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  RSA: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 },
} as const

type Made = {
  pem: string
  key: string
  certificate: X509Certificate
  keys: webcrypto.CryptoKeyPair
  algorithm: (typeof algorithms)[keyof typeof algorithms]
}

/** A certificate that another signed, or it itself. */
const make = async (
  subject: string,
  issuer?: Made,
  kind: keyof typeof algorithms = 'ECDSA',
  dnsNames: string[] = subject === 'leaf' ? [name] : [],
): Promise<Made> => {
  const algorithm = algorithms[kind]
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.create({
    notBefore: new Date(Date.UTC(2026, 0, 1)),
    notAfter: new Date(Date.UTC(2027, 0, 1)),
    subject: `CN=${subject}`,
    issuer: issuer?.certificate.subject ?? `CN=${subject}`,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: issuer?.algorithm ?? algorithm,
    extensions: [
      new BasicConstraintsExtension(subject !== 'leaf'),
      ...(dnsNames.length === 0
        ? []
        : [new SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: 'dns', value })))]),
    ],
  })
  const key = PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')
  return { pem: certificate.toString('pem'), key, certificate, keys, algorithm }
}

const root = await make('root')
const upper = await make('upper', root)
const lower = await make('lower', upper)
const leaf = await make('leaf', lower)
const alone = await make('leaf')
const rsaRoot = await make('root', undefined, 'RSA')
const rsaLeaf = await make('leaf', rsaRoot, 'RSA')
const wildcard = await make('leaf', root, 'ECDSA', ['*.meshvip.svc'])
const byCommonName = await make(name, root)
const others = await Promise.all(Array.from({ length: 50 }, () => make('root')))

const join = (...made: Made[]): string => made.map(({ pem }) => pem).join('\n')

t.test('what is in a Secret is usable', async (t) => {
  const table: [what: string, ca: string, cert: string, of: Made][] = [
    ['with its chain', join(root), join(leaf, lower, upper), leaf],
    ['with its chain in another order, and the root', join(root), join(leaf, root, upper, lower), leaf],
    ['where an authority of the chain is trusted', join(lower), join(leaf), leaf],
    ['where it certifies itself', join(alone), join(alone), alone],
    ['for all of the namespace', join(root), join(wildcard), wildcard],
    ['by RSA', join(rsaRoot), join(rsaLeaf), rsaLeaf],
    ['with one of fifty CAs of one name', join(...others, rsaRoot), join(rsaLeaf), rsaLeaf],
    [
      'with what OpenSSL writes before it',
      `subject=CN=root\n${join(root)}`,
      `Bag Attributes\n    localKeyID: 01\n${join(leaf, lower, upper)}`,
      leaf,
    ],
    [
      'with the line ends of Windows',
      join(root).replaceAll('\n', '\r\n'),
      join(leaf, lower, upper).replaceAll('\n', '\r\n'),
      leaf,
    ],
  ]
  for (const [what, ca, cert, { pem, key }] of table) {
    t.equal(
      readTLSSecret(secretOf({ ca, cert, key }), name).leaf.fingerprint256,
      new NodeCertificate(pem).fingerprint256,
      what,
    )
  }
})

t.test('what no API server would trust is not', async (t) => {
  const table: [what: string, ca: string, cert: string, of: Made, why: string][] = [
    ['where the chain has a gap', join(root), join(leaf, upper), leaf, 'nothing in ca.crt signed tls.crt'],
    ['where the chain is missing', join(root), join(leaf), leaf, 'nothing in ca.crt signed tls.crt'],
    [
      'where another of that name signed it',
      join(...others),
      join(leaf, lower, upper),
      leaf,
      'nothing in ca.crt signed tls.crt',
    ],
    [
      'where others certify themselves in the chain',
      join(root),
      join(alone, ...others, ...Array.from({ length: 30 }, () => alone)),
      alone,
      'nothing in ca.crt signed tls.crt',
    ],
    ['with its name as common name alone', join(root), join(byCommonName), byCommonName, `tls.crt is not for ${name}`],
    ['where it comes last', join(root), join(lower, upper, leaf), leaf, 'tls.key is not the key of tls.crt'],
  ]
  for (const [what, ca, cert, { key }, why] of table) {
    t.throws(
      () => readTLSSecret(secretOf({ ca, cert, key }), name),
      new UnusableSecret(`the Secret with the serving certificate cannot be used: ${why}`),
      what,
    )
  }
  t.throws(
    () =>
      readTLSSecret(secretOf({ ca: join(root), cert: join(leaf, lower, upper), key: leaf.key }), 'other.meshvip.svc'),
    /tls.crt is not for other.meshvip.svc$/,
  )
})
