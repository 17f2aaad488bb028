import type { KnownObject } from '../api/kinds.ts'
import { type NamespacedName, sameName } from '../api/metadata.ts'
import type { Service } from '../api/service.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { ReadThroughView, untilRead } from '../view/read-through.ts'
import type { ClusterView } from '../view/view.ts'

/** A live cluster as it will be once some manifests are applied: what it has, and these in place of what has their names. */
class OverlaidView extends ReadThroughView {
  override readonly unlistedNamespacesSelected: boolean
  readonly #applied: readonly KnownObject[]

  constructor(
    applied: readonly KnownObject[],
    options: LiveOptions & { unlistedNamespacesSelected: boolean },
    signal: AbortSignal,
  ) {
    super(options, signal)
    this.unlistedNamespacesSelected = options.unlistedNamespacesSelected
    this.#applied = applied
    this.#apply()
  }

  #apply(): void {
    for (const object of this.#applied) this.store.put(object)
  }

  override async readWanted(): Promise<boolean> {
    const hasRead = await super.readWanted()
    if (hasRead) this.#apply()
    return hasRead
  }
}

export type LiveOptions = { client: KubernetesClient; clusterDomain: string }

/** What the cluster has now under the names of these objects. Rejects with ApiError. */
export const readPresent = async (
  objects: readonly KnownObject[],
  options: LiveOptions,
  signal: AbortSignal,
): Promise<(KnownObject | undefined)[]> => {
  const view = new ReadThroughView(options, signal)
  return untilRead(view, () =>
    objects.map(({ kind, object }) => {
      if (kind === 'Service') {
        const service = view.service(object)
        return service && { kind, object: service }
      }
      if (kind !== 'VirtualService') return undefined
      const virtualService = view.virtualService(object)
      return virtualService && { kind, object: virtualService }
    }),
  )
}

/** A view in which one Service is still what it was: what an update takes away can only be seen where it has not happened yet. */
export const withPresent = (view: ClusterView, service: Service): ClusterView =>
  new Proxy(view, {
    get: (target, key: keyof ClusterView) => {
      if (key === 'service') return (name: NamespacedName) => (sameName(name, service) ? service : target.service(name))
      const member = target[key]
      return typeof member === 'function' ? member.bind(target) : member
    },
  })

/** Asks a question about a cluster to which these objects are applied. Rejects with ApiError. */
export const askOverlaid = async <T>(
  applied: readonly KnownObject[],
  options: LiveOptions & { unlistedNamespacesSelected: boolean },
  question: (view: ClusterView) => T,
  signal: AbortSignal,
): Promise<T> => {
  const view = new OverlaidView(applied, options, signal)
  return untilRead(view, () => question(view))
}
