package control

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"gosper/edge/config"
	"gosper/protocol"
)

// Endpoints of the config folder: those with which older services ask, whose answers are text/json, and one path for every
// file. What is asked for is looked up among the files that are in force; no path of a request reaches the disk.

// oldJSON is the content type that services of the older system expect.
const oldJSON = "text/json; charset=utf-8"

// sendSetting answers with content, or by 304 that the client has it already.
func sendSetting(ctx *fasthttp.RequestCtx, f config.File, kind string) {
	h := &ctx.Response.Header
	h.Set("ETag", f.ETag)
	h.Set("Cache-Control", "no-cache")
	if !f.Modified.IsZero() {
		h.SetLastModified(f.Modified)
	}
	if f.Version != "" {
		h.Set("Gosper-Config-Version", f.Version)
	}
	if matches(string(ctx.Request.Header.Peek("If-None-Match")), f.ETag) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	ctx.SetContentType(kind)
	ctx.SetBody(f.Data)
}

// sendNamed answers with the file of a name. Of one that is broken and was never good it says so, with details for who may
// see the log.
func (s *Server) sendNamed(ctx *fasthttp.RequestCtx, name, kind string, details bool) {
	if f, ok := s.config.Settings.Get(name); ok {
		sendSetting(ctx, f, kind)
		return
	}
	for _, f := range s.config.Settings.List() {
		if f.Name == name && f.Broken != nil {
			why := "this file is broken, and no good content of it is known"
			if details {
				why = f.Broken.Error()
			}
			fail(ctx, fasthttp.StatusServiceUnavailable, protocol.StatusBusy, why)
			return
		}
	}
	fail(ctx, fasthttp.StatusNotFound, protocol.StatusInvalid, "there is no such file in the config folder, or its day has not come")
}

// getSetting answers GET /config/<name>.
func (s *Server) getSetting(ctx *fasthttp.RequestCtx) {
	s.sendNamed(ctx, partOf(ctx), "application/json", true)
}

// getOldSetting answers GET /get_<name>_config.
func (s *Server) getOldSetting(ctx *fasthttp.RequestCtx) {
	s.sendNamed(ctx, partOf(ctx), oldJSON, true)
}

// getManagerConfig answers GET /get_game_manager_config: one object of all files, with the release of servers as version.
func (s *Server) getManagerConfig(ctx *fasthttp.RequestCtx) {
	sendSetting(ctx, s.config.Settings.All(), oldJSON)
}

// getServerVersion answers GET /get_server_version.
func (s *Server) getServerVersion(ctx *fasthttp.RequestCtx) {
	v, _ := s.config.Settings.Versions()
	oldAnswer(ctx, "version", v.Server)
}

// getClientVersion answers GET /get_client_version.
func (s *Server) getClientVersion(ctx *fasthttp.RequestCtx) {
	v, _ := s.config.Settings.Versions()
	oldAnswer(ctx, "version", v.Client)
}

// getConfigLocation answers GET /get_server_config_location: the path below which the files are.
func (s *Server) getConfigLocation(ctx *fasthttp.RequestCtx) {
	oldAnswer(ctx, "location", "/config/")
}

// oldAnswer answers {"status":0,name:value}; without a value {"status":1,…}.
func oldAnswer(ctx *fasthttp.RequestCtx, name, value string) {
	if value == "" {
		answer(ctx, statusOut{Status: 1, Message: "no file version.json names a release of today"})
	} else {
		answer(ctx, map[string]any{"status": 0, name: value})
	}
	ctx.SetContentType(oldJSON)
}

// getWorldMap answers GET /get_world_map with the file world_map, or with world=<n> the entry of that world.
func (s *Server) getWorldMap(ctx *fasthttp.RequestCtx) {
	args := ctx.QueryArgs()
	if !args.Has("world") {
		s.sendNamed(ctx, "world_map", oldJSON, true)
		return
	}
	world, err := strconv.ParseUint(string(args.Peek("world")), 10, 32)
	if err != nil {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "world must be a number")
		return
	}
	m, ok := s.config.Settings.WorldMap(uint32(world))
	if !ok {
		fail(ctx, fasthttp.StatusNotFound, protocol.StatusInvalid, "no map names this world")
		return
	}
	answer(ctx, m.Data)
	ctx.SetContentType(oldJSON)
}

// settingOut is one file of a list.
type settingOut struct {
	Name     string    `json:"name"`
	ETag     string    `json:"etag,omitempty"`
	Version  string    `json:"version,omitempty"` // the day from which the file counts
	Modified time.Time `json:"modified,omitzero"`
	Bytes    int       `json:"bytes"`
	Broken   string    `json:"broken,omitempty"` // why the newest content is not in force
}

// settingsOut is the list of the config folder.
type settingsOut struct {
	Client string       `json:"client,omitempty"` // release of clients of today
	Server string       `json:"server,omitempty"` // release of servers of today
	Files  []settingOut `json:"files"`
}

// listSettings answers GET /config.
func (s *Server) listSettings(ctx *fasthttp.RequestCtx) {
	s.sendList(ctx, s.config.Settings.List(), true)
}

// listPublicSettings answers GET /api/config of the public site: the files that everybody may read.
func (s *Server) listPublicSettings(ctx *fasthttp.RequestCtx) {
	s.sendList(ctx, slices.DeleteFunc(s.config.Settings.List(), func(f config.File) bool { return !s.isPublic(f.Name) || f.Data == nil }), false)
}

// sendList answers a list with a tag of its own, so that clients can ask often.
func (s *Server) sendList(ctx *fasthttp.RequestCtx, files []config.File, details bool) {
	v, _ := s.config.Settings.Versions()
	out := settingsOut{v.Client, v.Server, []settingOut{}}
	for _, f := range files {
		row := settingOut{Name: f.Name, ETag: f.ETag, Version: f.Version, Modified: f.Modified, Bytes: len(f.Data)}
		if f.Broken != nil && details {
			row.Broken = f.Broken.Error()
		}
		out.Files = append(out.Files, row)
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic(err) // caught by guarded: plain texts and times always encode
	}
	sendSetting(ctx, config.File{Data: b, ETag: config.ETag(b)}, "application/json")
}

// getPublicSetting answers GET /api/config/<name> of the public site.
func (s *Server) getPublicSetting(ctx *fasthttp.RequestCtx) {
	if name := partOf(ctx); s.isPublic(name) {
		s.sendNamed(ctx, name, "application/json", false)
		return
	}
	fail(ctx, fasthttp.StatusNotFound, protocol.StatusInvalid, "there is no such public file in the config folder")
}

// isPublic says whether everybody may read a file.
func (s *Server) isPublic(name string) bool {
	return slices.Contains(s.config.PublicSettings, name) || slices.Contains(s.config.PublicSettings, "*")
}
