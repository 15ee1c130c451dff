//go:build !amd64

package grid

// Other machines have the plain Go kernel alone.
const hasAVX2, hasAVX512 = false, false

func lifeAVX512(j *lifeJob)       { lifeGo(j) }
func lifeMaskedAVX512(j *lifeJob) { lifeGo(j) }
func ruleAVX512(j *lifeJob)       { ruleGo(j) }
func ruleMaskedAVX512(j *lifeJob) { ruleGo(j) }
func lifeAVX2(j *lifeJob)         { lifeGo(j) }
func lifeMaskedAVX2(j *lifeJob)   { lifeGo(j) }
func ruleAVX2(j *lifeJob)         { ruleGo(j) }
func ruleMaskedAVX2(j *lifeJob)   { ruleGo(j) }
func majorityAVX512(j *planeJob)  { majorityGo(j) }
func commitAVX512(j *planeJob)    { commitGo(j) }

func packAVX512(j *packJob) { packGo(j) }
func hashAVX512(j *hashJob) { hashGo(j) }
