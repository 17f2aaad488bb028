/** The small world that all cases are set in, so that what they name meets; and the shapes of what is in it. */
import fc from 'fast-check'
import type { NamespacedName } from '../../../src/api/metadata.ts'

export type Manifest<Spec = object> = {
  apiVersion: string
  kind: string
  metadata: {
    namespace?: string
    name: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
    creationTimestamp?: string
  }
  spec?: Spec
}

/** A namespaced object while a case is made: mutations change it in place. */
export type Draft<Spec> = Manifest<Spec> & {
  metadata: NamespacedName & { annotations?: Record<string, string> }
  spec: Spec
}

/** A sidecar: that of a pod of this namespace, with these labels. */
export type Client = { namespace: string; labels?: Record<string, string> }

/** The namespaces of Services, VirtualServices and clients. What comes first here is what a case shrinks to. */
export const namespaces = ['shop', 'pay', 'test'] as const
export const rootNamespace = 'istio-system'
export const defaultDomain = 'cluster.local'
export const otherDomain = 'mesh.internal'

export const virtualHostNames = ['orders', 'carts'] as const
export const destinationNames = ['read', 'write', 'stock'] as const
/** Of a Service that no case has. */
export const unknownName = 'nowhere'

export const virtualHostPorts = [3111, 3112, 8080, 443] as const
export const destinationPorts = [3100, 3111, 3112, 8080, 443, 3306, 80, 15001, 15021] as const
/** Istio's own, on which a sidecar skips HTTP or sends it nowhere. */
export const reservedPorts = [15001, 15006, 15021, 15090] as const
export const port80 = 80
export const allPorts: readonly number[] = [...new Set<number>([...virtualHostPorts, ...destinationPorts])]

export const subsetNames = ['v1', 'v2'] as const
export const unknownSubset = 'v9'
export const foreignHosts = ['api.example.com', 'db.example.com', 'elsewhere.example.net'] as const
export const ingressGateway = `${rootNamespace}/ingress`
/** Of some clients, and what a sourceLabels match asks for. */
export const clientLabels = { app: 'web' }
/** What a match asks for that no usual client has. */
export const otherLabels = { app: 'nobody' }

/** As `exportTo` has it; undefined is the default, which is everybody. */
export const exportScopes: readonly (readonly string[] | undefined)[] = [
  undefined,
  ['.'],
  ['*'],
  ...namespaces.map((namespace) => [namespace]),
  ['shop', 'pay'],
]

export const draft = <Spec>(apiVersion: string, kind: string, at: NamespacedName, spec: Spec): Draft<Spec> => ({
  apiVersion,
  kind,
  metadata: { namespace: at.namespace, name: at.name },
  spec,
})

export const istioDraft = <Spec>(kind: string, at: NamespacedName, spec: Spec): Draft<Spec> =>
  draft('networking.istio.io/v1', kind, at, spec)

/** `exportTo` as a part of a spec, left out where the scope is the default. */
export const exportedTo = (scope: readonly string[] | undefined): { exportTo?: string[] } =>
  scope === undefined ? {} : { exportTo: [...scope] }

/** How many times more often the usual is drawn than the odd. */
const usualWeight = 7

/** The usual, now and then the odd; what is odd shrinks to the usual. */
export const mostly = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ withCrossShrink: true }, { weight: usualWeight, arbitrary: usual }, { weight: 1, arbitrary: odd })

export const rarely = <T>(odd: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  mostly<T | undefined>(fc.constant(undefined), odd)

/** Lists with something in them. A minLength of fast-check's would keep the last of them there, whichever is needed. */
export const nonEmpty = <T>(lists: fc.Arbitrary<T[]>): fc.Arbitrary<T[]> => lists.filter(({ length }) => length > 0)

/** One item of a list that is not known yet: any number, which `at` takes round the list. */
export const anyIndex = fc.nat({ max: 839 })
export const at = <T>(list: readonly T[], index: number): T | undefined => list[index % list.length]
