package module

import (
	"testing"

	"gosper/broker/chain"
	"gosper/protocol"
)

// Goal: only who knows the operator's token looks at the engine and locks it, and tries at the token are counted. Method:
// calls with and without it, on nodes with and without a token or chains.
func TestEngineIsForOperators(t *testing.T) {
	const token = "a token for operators"
	r := newRig(t, func(o *Options) { o.AuthRate = Rate{PerSecond: 1, Burst: 14} })
	p := r.connect()
	try := func(route, content string, want protocol.Status, text string) {
		t.Helper()
		rep := p.call(route, content)
		if rep.Status != want || string(rep.Content) != text && text != "" {
			t.Errorf("%s %s: %d %s %s", route, content, rep.Status, rep.Message, rep.Content)
		}
	}
	try("/engine/status", `{"operator_token":""}`, protocol.StatusRefused, "")
	try("/engine/lock", `{"global_lock":true}`, protocol.StatusRefused, "")
	r.table.tools.operatorToken = token
	try("/engine/status", `{"operator_token":"`+token+`"}`, protocol.StatusBusy, "") // no chains yet
	var err error
	if r.table.tools.chains, err = chain.Open(t.Context(), chain.EngineOptions{Store: r.store}); err != nil {
		t.Fatal(err)
	}
	defer r.table.tools.chains.Close()
	for _, content := range []string{`{}`, `{"operator_token":""}`, `{"operator_token":"a token for operator"}`, `{"token":"` + token + `"}`} {
		try("/engine/status", content, protocol.StatusRefused, "")
	}
	try("/engine/status", `{"operator_token":"`+token+`"}`, protocol.StatusOK, `{"global_lock":false,"global_status":"RUNNING","running_processes":0}`)
	try("/engine/lock", `{"operator_token":"`+token+`"}`, protocol.StatusInvalid, "")
	try("/engine/lock", `{"operator_token":"`+token+`","global_lock":true}`, protocol.StatusOK, `{"global_lock":true,"global_status":"PAUSED","running_processes":0}`)
	try("engine_status", `{"operator_token":"`+token+`"}`, protocol.StatusOK, `{"global_lock":true,"global_status":"PAUSED","running_processes":0}`)
	try("lock_engine", `{"operator_token":"`+token+`","global_lock":false}`, protocol.StatusOK, `{"global_lock":false,"global_status":"RUNNING","running_processes":0}`)
	for range 2 {
		try("/engine/status", `{"operator_token":"guess"}`, protocol.StatusRefused, "")
	}
	try("/engine/status", `{"operator_token":"`+token+`"}`, protocol.StatusRefused, "") // too many tries
}
