import 'reflect-metadata'
import {
  BasicConstraintsExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import t from 'tap'
import type { ServingCertificate } from '../../src/certificates/self-made.ts'
import { readTLSSecret } from '../../src/certificates/tls-secret.ts'
import { secretOf } from '../support/registration.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const name = 'meshvip.mesh-system.svc'

const makeKeys = () => crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])

/** Certificates of which each signed the next one, the first itself; the last is for these DNS names. */
const makeChain = async (commonNames: string[], dnsNames: string[]) => {
  const made: { pem: string; keys: Awaited<ReturnType<typeof makeKeys>>; subject: string }[] = []
  for (const [index, commonName] of commonNames.entries()) {
    const keys = await makeKeys()
    const subject = `CN=${commonName}`
    const isLeaf = index === commonNames.length - 1
    const issuer = made.at(-1) ?? { keys, subject }
    const certificate = await X509CertificateGenerator.create({
      subject,
      issuer: issuer.subject,
      publicKey: keys.publicKey,
      signingKey: issuer.keys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(!isLeaf, undefined, true),
        ...(isLeaf && dnsNames.length > 0
          ? [new SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: 'dns', value })))]
          : []),
      ],
    })
    made.push({ pem: `${certificate.toString('pem')}\n`, keys, subject })
  }
  const key = await crypto.subtle.exportKey('pkcs8', (made.at(-1) as (typeof made)[0]).keys.privateKey)
  return { pems: made.map(({ pem }) => pem), key: PemConverter.encode(key, 'PRIVATE KEY') }
}

const why = ({ ca, cert, key }: ServingCertificate): string | undefined => {
  try {
    readTLSSecret(secretOf({ ca, cert, key }), name)
    return undefined
  } catch (error) {
    return (error as Error).message.replace('the Secret with the serving certificate cannot be used: ', '')
  }
}

t.test('a certificate is used where the API server would take it', async (t) => {
  const { pems, key } = await makeChain(['root', 'intermediate', 'leaf'], ['other.example.org', name])
  const [root = '', intermediate = '', leaf = ''] = pems
  const [other = ''] = (await makeChain(['root', 'x'], [])).pems
  const alone = await makeChain(['leaf'], [name])
  const wildcard = await makeChain(['root', 'leaf'], ['*.mesh-system.svc'])
  const byCommonName = await makeChain(['root', name], [])
  const table: [what: string, ca: string, cert: string, key: string, why: string | undefined][] = [
    ['signed by way of another that is sent along', root, leaf + intermediate, key, undefined],
    ['where the one between is trusted itself', intermediate, leaf, key, undefined],
    ['by one of several CAs', other + root, leaf + intermediate, key, undefined],
    ['where the one between is not sent', root, leaf, key, 'none of its CAs signed it'],
    ['of a CA of the same name and another key', other, leaf + intermediate, key, 'none of its CAs signed it'],
    ['that is its own CA', alone.pems.join(''), alone.pems.join(''), alone.key, undefined],
    ['for all of the namespace', wildcard.pems[0] ?? '', wildcard.pems[1] ?? '', wildcard.key, undefined],
    [
      'with the name as common name alone, which the API server does not read',
      byCommonName.pems[0] ?? '',
      byCommonName.pems[1] ?? '',
      byCommonName.key,
      `it is not for ${name}`,
    ],
  ]
  for (const [what, ca, cert, key, expected] of table) t.equal(why({ ca, cert, key }), expected, what)
})
