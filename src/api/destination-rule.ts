import { Fields } from './fields.ts'
import { type NamespacedName, readName } from './metadata.ts'

/** What the rules read of a networking.istio.io DestinationRule. */
export type DestinationRule = NamespacedName & {
  /** metadata.creationTimestamp, RFC 3339 in UTC; empty where it has none yet. */
  created: string
  /** As it is written: a short name, a full one, or a wildcard. */
  host: string
  /** The names of its subsets. */
  subsets: readonly string[]
  /** The namespaces that see it: `.`, `*` or names; empty where the mesh's default holds. */
  exportTo: readonly string[]
  /** The labels of the only workloads that it is for; undefined where it is for all. */
  workloadSelector: ReadonlyMap<string, string> | undefined
}

/** Projects a DestinationRule. Throws MalformedObject. */
export const parseDestinationRule = (object: unknown): DestinationRule => {
  const fields = new Fields(object)
  const spec = fields.object('spec')
  return {
    ...readName(fields),
    created: fields.object('metadata').string('creationTimestamp') ?? '',
    host: spec.string('host') ?? '',
    subsets: spec.list('subsets', (subset) => subset.string('name') ?? ''),
    exportTo: spec.strings('exportTo'),
    workloadSelector: spec.has('workloadSelector')
      ? spec.object('workloadSelector').stringMap('matchLabels')
      : undefined,
  }
}
