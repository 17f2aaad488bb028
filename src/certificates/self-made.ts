import 'reflect-metadata'
import { isIP } from 'node:net'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { backdate, defaultLifetime } from './validity.ts'

/** PEM texts: a CA, and a certificate and key that it signed. */
export type ServingCertificate = { ca: string; cert: string; key: string }

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/**
 * Makes a CA and a serving certificate for these names and addresses (ECDSA P-256), both valid for so many milliseconds. The CA's key is
 * not kept: whoever reads what we store can sign nothing.
 */
export const makeServingCertificate = async (
  names: readonly string[],
  now: Date,
  lifetime = defaultLifetime,
): Promise<ServingCertificate> => {
  const dates = { notBefore: new Date(now.getTime() - backdate), notAfter: new Date(now.getTime() + lifetime) }
  const caKeys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const ca = await X509CertificateGenerator.createSelfSigned({
    ...dates,
    name: 'CN=meshvip CA',
    keys: caKeys,
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  })
  const alternativeNames: JsonGeneralNames = names.map((name) => ({ type: isIP(name) ? 'ip' : 'dns', value: name }))
  const certificate = await X509CertificateGenerator.create({
    ...dates,
    subject: 'CN=meshvip',
    issuer: ca.subject,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(alternativeNames),
      // By this a client finds the right CA among several of one name.
      await AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  })
  const privateKey = await crypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    ca: ca.toString('pem'),
    cert: certificate.toString('pem'),
    key: PemConverter.encode(privateKey, 'PRIVATE KEY'),
  }
}
