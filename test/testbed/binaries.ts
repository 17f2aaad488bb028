import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, copyFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { cachedFolder, cacheRoot, exists, type Log } from './cache.ts'
import { type GoModule, readGoModule, runGo, whyNoGo } from './go.ts'

/** Absolute paths. `istioCrds` is a YAML file with all of Istio's CustomResourceDefinitions. */
export type Binaries = { kubeApiserver: string; etcd: string; kubectl: string; istioCrds: string }

/** One sentence: what is not there, and how to get it. */
export type Missing = { missing: string }

const KUBERNETES = 'k8s.io/kubernetes'
const ETCD = 'go.etcd.io/etcd/server/v3'
const ISTIO_API = 'istio.io/api'
const NAMES = ['kube-apiserver', 'etcd', 'kubectl']
const CRDS = 'crds.yaml'

/**
 * The control plane's binaries: from the folder KUBEBUILDER_ASSETS, else from the cache, else built with Go into the
 * cache. `ISTIO_CRDS=FILE` names Istio's CRDs where they are not to come from the Go module.
 *
 * Throws where a variable names something that is not there, and where a build fails (with the end of its log).
 */
export const findOrBuildBinaries = async (log: Log): Promise<Binaries | Missing> => {
  const module = await readGoModule()
  const folder = (await assets()) ?? (await built(module, log))
  if (typeof folder !== 'string') return folder
  const istioCrds = await findIstioCrds(module, log)
  if (typeof istioCrds !== 'string') return istioCrds
  return {
    kubeApiserver: join(folder, 'kube-apiserver'),
    etcd: join(folder, 'etcd'),
    kubectl: join(folder, 'kubectl'),
    istioCrds,
  }
}

const assets = async (): Promise<string | undefined> => {
  const value = process.env.KUBEBUILDER_ASSETS
  if (value === undefined || value === '') return undefined
  const folder = resolve(value)
  const problems: string[] = []
  for (const name of NAMES) {
    try {
      await access(join(folder, name), constants.X_OK)
    } catch (error) {
      problems.push(`${name} (${error instanceof Error && 'code' in error ? error.code : error})`)
    }
  }
  if (problems.length > 0) {
    throw new Error(`KUBEBUILDER_ASSETS=${value} has no executable ${problems.join(', ')}; complete it or unset it`)
  }
  return folder
}

const built = async (module: GoModule, log: Log): Promise<string | Missing> => {
  const version = module.version(KUBERNETES)
  const strip = '-s -w'
  // Without gitVersion the server calls itself v0.0.0 and kubectl warns of the skew.
  const stamp = `${strip} -X k8s.io/component-base/version.gitVersion=${version}`
  const builds = [
    ['-trimpath', '-ldflags', stamp, `${KUBERNETES}/cmd/kube-apiserver`, `${KUBERNETES}/cmd/kubectl`],
    ['-trimpath', '-ldflags', strip, ETCD],
  ]
  const key = createHash('sha256')
    .update(JSON.stringify([module.content, builds, process.platform, process.arch]))
    .digest('hex')
    .slice(0, 16)
  const path = join(cacheRoot(), key)
  if (await exists(path)) return path
  const reason = await whyNoGo(module.go)
  if (reason !== undefined) {
    return {
      missing: `no control plane to test against: set KUBEBUILDER_ASSETS to a folder with ${NAMES.join(', ')}, or install Go ${module.go} (${reason}).`,
    }
  }
  const fill = async (folder: string): Promise<void> => {
    log(
      `building kube-apiserver and kubectl ${version} and etcd ${module.version(ETCD)} from Go modules; about 5 minutes the first time (log: ${path}.log)`,
    )
    const started = Date.now()
    for (const [index, flags] of builds.entries()) {
      const output = index === 0 ? `${folder}/` : join(folder, 'etcd')
      await runGo(['build', '-o', output, ...flags], `${path}.log`)
    }
    log(`built in ${Math.round((Date.now() - started) / 1000)} s: ${path}`)
  }
  return cachedFolder(path, fill, log)
}

const findIstioCrds = async (module: GoModule, log: Log): Promise<string | Missing> => {
  const named = process.env.ISTIO_CRDS
  if (named !== undefined && named !== '') {
    if (!(await exists(named))) throw new Error(`ISTIO_CRDS=${named} does not exist; correct it or unset it`)
    return resolve(named)
  }
  const version = module.version(ISTIO_API)
  const path = join(cacheRoot(), `istio-api-${version}`)
  if (await exists(path)) return join(path, CRDS)
  const reason = await whyNoGo(module.go)
  if (reason !== undefined) {
    return {
      missing: `no CRDs of Istio: set ISTIO_CRDS to a YAML file with the CRDs of Istio (istio.io/api ${version}), or install Go ${module.go} (${reason}).`,
    }
  }
  const fill = async (folder: string): Promise<void> => {
    const { Dir } = JSON.parse(await runGo(['mod', 'download', '-json', ISTIO_API], `${path}.log`)) as { Dir?: string }
    if (Dir === undefined) throw new Error(`go mod download names no folder for ${ISTIO_API}; see ${path}.log`)
    await copyFile(join(Dir, 'kubernetes', 'customresourcedefinitions.gen.yaml'), join(folder, CRDS))
  }
  return join(await cachedFolder(path, fill, log), CRDS)
}
