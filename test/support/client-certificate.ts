import 'reflect-metadata'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type JsonGeneralNames,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { ServingCertificate } from '../../src/certificates/self-made.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** A CA, and a client certificate for this common name, and these DNS names, that it signed; in PEM. */
export const makeClientCertificate = async (
  commonName: string,
  dnsNames: readonly string[] = [],
): Promise<ServingCertificate> => {
  const dates = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) }
  const caKeys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const ca = await X509CertificateGenerator.createSelfSigned({
    ...dates,
    name: 'CN=clients',
    keys: caKeys,
    signingAlgorithm: algorithm,
    extensions: [new BasicConstraintsExtension(true, 0, true)],
  })
  const names: JsonGeneralNames = dnsNames.map((value) => ({ type: 'dns', value }))
  const certificate = await X509CertificateGenerator.create({
    ...dates,
    subject: `CN=${commonName}`,
    issuer: ca.subject,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
      ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
    ],
  })
  const key = await crypto.subtle.exportKey('pkcs8', keys.privateKey)
  return { ca: ca.toString('pem'), cert: certificate.toString('pem'), key: PemConverter.encode(key, 'PRIVATE KEY') }
}
