/** What the order of creation goes by. */
type Created = { created: string; name: string; namespace: string }

/** As Go's strings.Compare. */
const compare = (a: string, b: string): number => Number(a > b) - Number(a < b)

/**
 * The order in which istiod takes objects of one kind; what is not stored yet comes last.
 * Istio 1.31 pilot/pkg/model/config.go, configCompareByCreationTime.
 */
export const oldestFirst = (a: Created, b: Created): number =>
  compare(a.created || '~', b.created || '~') || compare(a.name, b.name) || compare(a.namespace, b.namespace)
