import { Fields } from './fields.ts'
import { type NamespacedName, readName } from './metadata.ts'

/** What the rules read of a networking.istio.io DestinationRule. */
export type DestinationRule = NamespacedName & {
  /** As it is written: a short name, a full one, or a wildcard. */
  host: string
  /** The names of its subsets. */
  subsets: readonly string[]
  /** The namespaces that see it: `.`, `*` or names; empty where the mesh's default holds. */
  exportTo: readonly string[]
  /** Whether it is only for the workloads that a selector matches. */
  hasWorkloadSelector: boolean
}

/** Projects a DestinationRule. Throws MalformedObject. */
export const parseDestinationRule = (object: unknown): DestinationRule => {
  const fields = new Fields(object)
  const spec = fields.object('spec')
  return {
    ...readName(fields),
    host: spec.string('host') ?? '',
    subsets: spec.list('subsets', (subset) => subset.string('name') ?? ''),
    exportTo: spec.strings('exportTo'),
    hasWorkloadSelector: spec.object('workloadSelector').stringMap('matchLabels').size > 0,
  }
}
