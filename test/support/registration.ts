import type { X509Certificate } from 'node:crypto'
import type { ServingCertificate } from '../../src/certificates/self-made.ts'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'
import { certificatesIn } from '../../src/certificates/tls-secret.ts'
import { probeAnswer } from '../../src/registration/proof.ts'
import { hopsOf, type PublishedHop } from '../../src/registration/published.ts'
import { Registrar, type RegistrarOptions } from '../../src/registration/registrar.ts'
import type { TestClock } from './clock.ts'
import type { FakeApiServer, FakeReply } from './fake-api-server.ts'
import { inProcess, type Network } from './in-process.ts'

export const secretName = { namespace: 'meshvip', name: 'meshvip-tls' }
export const secretPath = '/api/v1/namespaces/meshvip/secrets/meshvip-tls'
export const servicePath = '/api/v1/namespaces/meshvip/services'

export const configurationPaths = {
  MutatingWebhookConfiguration: '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/meshvip',
  ValidatingWebhookConfiguration: '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/meshvip',
}

/** What the chart makes of what we write: the objects, and nothing in them. */
export const shells = (['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'] as const).map((kind) => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind,
  metadata: { name: 'meshvip' },
}))

/** What the API server says where a webhook refuses a request. */
export const deniedBy = (webhook: string, message: string): FakeReply => ({
  status: 403,
  body: { message: `admission webhook "${webhook}" denied the request: ${message}` },
})

/** What it says where it reached us. */
export const provesUs = deniedBy('probe.meshvip.dev', probeAnswer)

const encode = (text: string) => Buffer.from(text).toString('base64')

export const secretOf = ({ ca, cert, key }: ServingCertificate, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { ...secretName },
  ...more,
  data: { 'ca.crt': encode(ca), 'tls.crt': encode(cert), 'tls.key': encode(key) },
})

/** The certificate of a Secret, and its CA. */
export const certificatesOf = (secret: unknown): { leaf: X509Certificate; ca: X509Certificate } => {
  const { data } = secret as { data: Record<string, string> }
  const [leaf, ca] = ['tls.crt', 'ca.crt'].map(
    (name) => certificatesIn(Buffer.from(String(data[name]), 'base64').toString())[0],
  )
  return { leaf: leaf as X509Certificate, ca: ca as X509Certificate }
}

/** The hops of both configurations that are there. */
export const hopsAt = (server: FakeApiServer): PublishedHop[] =>
  Object.values(configurationPaths).flatMap((path) => hopsOf(server.get(path) ?? {}))

/** A registrar that notes what it tells. */
export const startRegistrar = (
  server: FakeApiServer,
  clock: TestClock,
  { network, ...options }: { network?: Network } & Partial<RegistrarOptions> = {},
) => {
  const [told, errors]: [string[], string[]] = [[], []]
  const stop = new AbortController()
  const registrar = new Registrar({
    client: inProcess(server, network),
    registration: {
      endpoint: { service: { namespace: 'meshvip', name: 'webhook', port: 443 } },
      ownNamespace: 'meshvip',
    },
    clusterDomain: 'cluster.local',
    secret: secretName,
    issueFor: ['webhook.meshvip.svc'],
    make: (...asked) => clock.during(makeServingCertificate(...asked)),
    onIssued: (why) => told.push(`issued: ${why}`),
    onWritten: (failOpen) => told.push(`written: ${failOpen ? 'open' : 'closed'}`),
    onState: (failOpen) => {
      notes.failOpen = failOpen
    },
    onError: (error) => errors.push((error as Error).message),
    clock,
    ...options,
  })
  const ended = registrar.run(stop.signal)
  const notes = {
    told,
    errors,
    /** What it says of everything. */
    failOpen: undefined as boolean | undefined,
    stop: async () => {
      stop.abort()
      await ended
    },
  }
  return notes
}
